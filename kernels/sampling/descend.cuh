// SPDX-License-Identifier: Apache-2.0
// Finds where a running sum over keys in ascending order reaches a target, without sorting: a radix
// descent, eight bits of the key at a time. Sums are integers, so the order in which threads meet
// the keys does not matter. Used by selection.cuh and what it is made of.
#pragma once

#include "kernels/device/reduce.cuh"
#include "kernels/sampling/workspace.h"

namespace sluice::kernels::sampling {

inline constexpr int kDescendThreads = 256;  // one a bin

struct DescendScratch {
  Weight bins[kDescendThreads];
  Weight warp_sums[kDescendThreads / device::kWarpSize];
  Weight before;
  uint32_t digit;
};

// Of all threads up to this one. REQUIRES: all of a block of kDescendThreads call it.
__device__ inline Weight BlockScan(Weight value, Weight* warp_sums) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpSize;
  for (int offset = 1; offset < device::kWarpSize; offset *= 2) {
    const Weight other = __shfl_up_sync(0xffffffffu, value, static_cast<unsigned>(offset));
    if (lane >= offset) value += other;
  }
  if (lane == device::kWarpSize - 1) warp_sums[warp] = value;
  __syncthreads();
  for (int i = 0; i < warp; ++i) value += warp_sums[i];
  return value;
}

// Every thread gets the sum; scratch is free again when it returns.
__device__ inline Weight BlockSum(Weight value, DescendScratch& scratch) {
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  }
  if (threadIdx.x % device::kWarpSize == 0) {
    scratch.warp_sums[threadIdx.x / device::kWarpSize] = value;
  }
  __syncthreads();
  Weight sum = 0;
  for (int i = 0; i < kDescendThreads / device::kWarpSize; ++i) sum += scratch.warp_sums[i];
  __syncthreads();
  return sum;
}

struct Reached {
  uint32_t key;   // the sum over keys up to this one is the first to reach the target
  Weight before;  // the sum over keys below it
};

// The place in the order of the threads where the sum over them reaches a target: the thread's
// number, as the key. Scratch is free again when it returns. REQUIRES: as Descend.
__device__ inline Reached ReachingThread(Weight own, Weight target, DescendScratch& scratch) {
  const Weight through = BlockScan(own, scratch.warp_sums);
  if (through >= target && through - own < target) {
    scratch.digit = threadIdx.x;
    scratch.before = through - own;
  }
  __syncthreads();
  const Reached reached = {scratch.digit, scratch.before};
  __syncthreads();
  return reached;
}

// for_each(visit) calls visit(key, measure) for each of this thread's keys, which have `bits` bits
// (8, 16, 24 or 32); it is called bits / 8 times. REQUIRES: 1 <= target <= the sum of all measures;
// all of a block of kDescendThreads call it.
template <typename ForEach>
__device__ Reached Descend(ForEach for_each, Weight target, int bits, DescendScratch& scratch) {
  uint32_t prefix = 0;
  Weight before = 0;
  const uint32_t own_digit = threadIdx.x;
  for (int shift = bits - 8; shift >= 0; shift -= 8) {
    scratch.bins[own_digit] = 0;
    __syncthreads();
    for_each([&](uint32_t key, Weight measure) {
      // Two shifts, since one by 32 is not defined.
      if (measure != 0 && key >> shift >> 8 == prefix) {
        atomicAdd(&scratch.bins[key >> shift & 255u], measure);
      }
    });
    __syncthreads();
    const Weight own = scratch.bins[own_digit];
    const Weight through = before + BlockScan(own, scratch.warp_sums);
    if (through >= target && through - own < target) {
      scratch.digit = own_digit;
      scratch.before = through - own;
    }
    __syncthreads();
    prefix = prefix << 8 | scratch.digit;
    before = scratch.before;
  }
  return {prefix, before};
}

}  // namespace sluice::kernels::sampling
