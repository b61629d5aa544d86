// SPDX-License-Identifier: Apache-2.0
// Sums over the threads of a warp or block, in one fixed order.
#pragma once

namespace sluice::kernels::device {

inline constexpr int kWarpSize = 32;

// Every lane gets the sum.
__device__ inline float WarpSum(float value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  }
  return value;
}

// Every thread gets the sum. scratch: shared, one float a warp; free again after the next barrier.
// REQUIRES: all threads of the block call it; blockDim.x is a multiple of 32.
__device__ inline float BlockSum(float value, float* scratch) {
  value = WarpSum(value);
  if (threadIdx.x % kWarpSize == 0) scratch[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
  float sum = 0.0f;
  for (int warp = 0; warp < num_warps; ++warp) sum += scratch[warp];
  return sum;
}

struct PrefixSum {
  int before = 0;  // over the threads before this one
  int total = 0;   // over all
};

// scratch and requirements: as BlockSum's.
__device__ inline PrefixSum BlockPrefixSum(int value, int* scratch) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int own_warp = static_cast<int>(threadIdx.x) / kWarpSize;
  int up_to_own = value;
#pragma unroll
  for (int offset = 1; offset < kWarpSize; offset *= 2) {
    const int below = __shfl_up_sync(0xffffffffu, up_to_own, offset);
    if (lane >= offset) up_to_own += below;
  }
  if (lane == kWarpSize - 1) scratch[own_warp] = up_to_own;
  __syncthreads();
  PrefixSum sum = {up_to_own - value, 0};
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
  for (int warp = 0; warp < num_warps; ++warp) {
    if (warp < own_warp) sum.before += scratch[warp];
    sum.total += scratch[warp];
  }
  return sum;
}

}  // namespace sluice::kernels::device
