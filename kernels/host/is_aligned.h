// SPDX-License-Identifier: Apache-2.0
// What launchers ask of pointers that kernels load or store vectors through.
#pragma once

#include <cstdint>

namespace sluice::kernels {

inline bool IsAligned(const void* pointer, uintptr_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

}  // namespace sluice::kernels
