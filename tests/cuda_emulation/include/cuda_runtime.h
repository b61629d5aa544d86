// SPDX-License-Identifier: Apache-2.0
// CUDA's keywords, built-in variables and functions for a host compiler: what our kernels use of
// the toolkit's header of this name, on the emulated SIMT model.
#pragma once

#include <cuda_runtime_api.h>

#include "tests/cuda_emulation/include/device_math.h"
#include "tests/cuda_emulation/include/warp_operations.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __constant__ static
// Blocks run one after the other, so one copy is enough. shared_memory.ld finds it.
#define __shared__ static
#define __align__(bytes) alignas(bytes)

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

inline void __syncthreads(
    sluice::cuda_emulation::Place place = sluice::cuda_emulation::Place::current()) {
  sluice::cuda_emulation::BlockBarrier(place);
}

// Threads give way at barriers only, so memory is always in order.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// What nothing writes while the kernel runs.
template <typename T>
[[gnu::no_sanitize_address]] T __ldg(const T* pointer) {
  sluice::cuda_emulation::CheckConstantAccess(pointer, sizeof(T));
  return *pointer;
}
template <typename T>
T __ldcg(const T* pointer) {
  return *pointer;
}
template <typename T>
T __ldcs(const T* pointer) {
  return *pointer;
}
template <typename T>
void __stcs(T* pointer, T value) {
  *pointer = value;
}
template <typename T>
void __stcg(T* pointer, T value) {
  *pointer = value;
}

inline size_t __cvta_generic_to_shared(const void* pointer) {
  return static_cast<size_t>(static_cast<const uint8_t*>(pointer) -
                             sluice::cuda_emulation::DynamicShared());
}

template <typename T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
template <typename T>
cudaError_t cudaMallocHost(T** pointer, size_t bytes) {
  return cudaMallocHost(reinterpret_cast<void**>(pointer), bytes);
}

// ---- atomics: the old value, as on the GPU

template <typename T, typename Update>
T SluiceAtomic(T* at, Update update) {
  const T old = *at;
  *at = update(old);
  return old;
}
#define SLUICE_ATOMIC(name, expression)                                  \
  template <typename T>                                                  \
  T name(T* at, std::type_identity_t<T> value) {                         \
    return SluiceAtomic(at, [value](T old) -> T { return expression; }); \
  }
SLUICE_ATOMIC(atomicAdd, static_cast<T>(old + value))
SLUICE_ATOMIC(atomicSub, static_cast<T>(old - value))
SLUICE_ATOMIC(atomicMax, old > value ? old : value)
SLUICE_ATOMIC(atomicMin, old < value ? old : value)
SLUICE_ATOMIC(atomicExch, (static_cast<void>(old), value))
SLUICE_ATOMIC(atomicOr, old | value)
SLUICE_ATOMIC(atomicAnd, old& value)
SLUICE_ATOMIC(atomicXor, old ^ value)
SLUICE_ATOMIC(atomicInc, old >= value ? T{0} : old + 1)
SLUICE_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef SLUICE_ATOMIC
template <typename T>
T atomicCAS(T* at, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return SluiceAtomic(at, [=](T old) { return old == compare ? value : old; });
}
