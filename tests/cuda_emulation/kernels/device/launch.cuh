// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/launch.cuh.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tests/cuda_emulation/launch.h"

namespace sluice::kernels::device {

template <typename... Params>
cudaError_t Launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, std::type_identity_t<Params>... args) {
  return cuda_emulation::Launch({reinterpret_cast<const void*>(kernel), grid, block, shared_bytes},
                                stream, [kernel, args...] { kernel(args...); });
}

template <typename... Params>
cudaError_t AllowSharedBytes(void (*kernel)(Params...), size_t bytes) {
  return cuda_emulation::AllowSharedBytes(reinterpret_cast<const void*>(kernel), bytes);
}

inline uint8_t* DynamicShared() { return cuda_emulation::DynamicShared(); }

}  // namespace sluice::kernels::device
