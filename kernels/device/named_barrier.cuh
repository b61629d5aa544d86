// SPDX-License-Identifier: Apache-2.0
// Barriers of some of a block's warps (PTX ISA, "barrier"), numbers 1 to 15; 0 is __syncthreads.
// One opens, and is new, when `threads` threads have come: those that wait there and those that
// only leave word. threads: a multiple of 32; whole warps call.
#pragma once

namespace sluice::kernels::device {

__device__ inline void WaitAtBarrier(int number, int threads) {
  asm volatile("barrier.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// Goes on at once.
__device__ inline void PassBarrier(int number, int threads) {
  asm volatile("barrier.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

}  // namespace sluice::kernels::device
