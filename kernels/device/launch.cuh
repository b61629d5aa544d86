// SPDX-License-Identifier: Apache-2.0
// How kernels are launched and find their dynamic shared memory. One place, because the tests'
// emulator of CUDA compiles the same kernels with a host compiler, which knows neither <<<>>> nor
// extern __shared__.
//
// A step is several hundred short kernels, one after the other. Chained kernels (programmatic
// dependent launch, PTX ISA 9.7.13.13) start while the one before is still running, so that neither
// a launch nor the first loads of weights are waited for.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sluice::kernels::device {

template <typename... Params>
cudaError_t LaunchWith(cudaLaunchAttribute* attributes, unsigned count, void (*kernel)(Params...),
                       dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                       std::type_identity_t<Params>... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

// Enqueues a kernel; its arguments are copied. Returns what AfterLaunch wants.
template <typename... Params>
cudaError_t Launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, std::type_identity_t<Params>... args) {
  return LaunchWith(nullptr, 0, kernel, grid, block, shared_bytes, stream, args...);
}

// Enqueues a kernel whose blocks may start while the kernel before it in the stream runs: as soon
// as all of that one's blocks have called LetNextStart or ended, and there is room for them. Where
// something else is before it (a copy, another library's kernel), it starts as usual.
//
// REQUIRES: every thread of the kernel calls WaitForPrevious. A grid that ended without waiting
// would let the kernel behind it run beside the one in front of it.
template <typename... Params>
cudaError_t LaunchChained(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, std::type_identity_t<Params>... args) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  return LaunchWith(&attribute, 1, kernel, grid, block, shared_bytes, stream, args...);
}

// Lets the blocks of the next kernel start, if that is a chained one. It orders nothing.
__device__ inline void LetNextStart() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

// Until all kernels before this one have ended and what they wrote can be seen. Before it, a
// chained kernel may only copy (async_copy.cuh, bulk_copy.cuh) or load with __ldg, and that only
// from what no kernel of its chain writes: weights, and what stood before the chain began. A launch
// that is not chained begins one.
__device__ inline void WaitForPrevious() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// The usual beginning of a chained kernel.
__device__ inline void BeginChained() {
  LetNextStart();
  WaitForPrevious();
}

// Needed once before a kernel is launched with more than 48 KB of dynamic shared memory; at most
// 227 KB on sm_90. Nothing that a stream capture would see. The bytes are the same each time: the
// limit is the kernel's, and a launch that a graph holds may have more than the next one has.
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
