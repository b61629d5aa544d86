// SPDX-License-Identifier: Apache-2.0
// Four neighbouring values, which is what a thread loads and stores at once.
#pragma once

#include <cuda_runtime.h>

namespace sluice::kernels::device {

__device__ inline void AddTo(float4& sum, float4 value) {
  sum.x += value.x;
  sum.y += value.y;
  sum.z += value.z;
  sum.w += value.w;
}

__device__ inline float4 Product(float4 a, float4 b) {
  return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w};
}

__device__ inline float4 Scaled(float4 value, float factor) {
  return {value.x * factor, value.y * factor, value.z * factor, value.w * factor};
}

__device__ inline float SumOfSquares(float4 value) {
  return value.x * value.x + value.y * value.y + value.z * value.z + value.w * value.w;
}

}  // namespace sluice::kernels::device
