// SPDX-License-Identifier: Apache-2.0
// How kernels are launched and find their dynamic shared memory. One place, because the tests'
// emulator of CUDA compiles the same kernels with a host compiler, which knows neither <<<>>> nor
// extern __shared__; and so that attributes of launches can be added for all of them.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sluice::kernels::device {

// Enqueues a kernel; its arguments are copied. Returns what AfterLaunch wants.
template <typename... Params>
cudaError_t Launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, std::type_identity_t<Params>... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

// Needed once before a kernel is launched with more than 48 KB of dynamic shared memory; at most
// 227 KB on sm_90. Nothing that a stream capture would see.
template <typename... Params>
cudaError_t AllowSharedBytes(void (*kernel)(Params...), size_t bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

// The block's dynamic shared memory, aligned to 1,024 bytes, as swizzled matrices want it.
__device__ inline uint8_t* DynamicShared() {
  extern __shared__ __align__(1024) uint8_t dynamic_shared[];
  return dynamic_shared;
}

}  // namespace sluice::kernels::device
