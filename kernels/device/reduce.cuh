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

}  // namespace sluice::kernels::device
