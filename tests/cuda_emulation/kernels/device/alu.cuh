// SPDX-License-Identifier: Apache-2.0
// The emulated twin of kernels/device/alu.cuh.
#pragma once

#include <cstdint>

namespace sluice::kernels::device {

inline uint32_t AndOr(uint32_t value, uint32_t mask, uint32_t bits) {
  return (value & mask) | bits;
}
inline float FastReciprocal(float x) { return 1.0f / x; }
inline float FastExp2(float x) { return __exp2f(x); }

}  // namespace sluice::kernels::device
