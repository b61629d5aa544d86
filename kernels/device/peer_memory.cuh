// SPDX-License-Identifier: Apache-2.0
// Accesses to memory that other GPUs and the host read and write while a kernel runs: past the
// first cache, each 4 bytes whole (PTX ISA 8.4: relaxed at system scope, element by element).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace sluice::kernels::device {

__device__ inline void StoreToPeer(uint4* at, uint4 value) {
  asm volatile(
      "st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(at)),
      "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
      : "memory");
}

__device__ inline uint4 LoadFromPeers(const uint4* at) {
  uint4 value;
  asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(__cvta_generic_to_global(at))
               : "memory");
  return value;
}

__device__ inline int LoadFromHost(const int* at) {
  int value;
  asm volatile("ld.relaxed.sys.global.u32 %0, [%1];"
               : "=r"(value)
               : "l"(__cvta_generic_to_global(at))
               : "memory");
  return value;
}

// Once a turn of a loop that waits for such memory to change.
__device__ inline void WaitTurn() {}

// Such a loop looks at the host's memory once in so many turns, about every 4 ms. Warps' looks go
// over the bus one after the other, 0.7 us each, so those of a whole grid take up to 1.5 ms. Were
// they as frequent as that, one look would keep the peer waiting until it looks, and so on: no
// operation would ever be fast again.
inline constexpr uint32_t kWaitTurnsPerLook = 8192;

}  // namespace sluice::kernels::device
