// SPDX-License-Identifier: Apache-2.0
// Four neighbouring bf16 values to and from fp32, 8 bytes at a time.
#pragma once

#include <cuda_bf16.h>

namespace sluice::kernels::device {

// from: aligned to 8 bytes.
__device__ inline float4 Load4Bf16(const __nv_bfloat16* from) {
  const auto* pairs = reinterpret_cast<const __nv_bfloat162*>(from);
  const float2 low = __bfloat1622float2(pairs[0]), high = __bfloat1622float2(pairs[1]);
  return {low.x, low.y, high.x, high.y};
}

// Rounds to nearest even. to: aligned to 8 bytes.
__device__ inline void Store4Bf16(__nv_bfloat16* to, float4 value) {
  auto* pairs = reinterpret_cast<__nv_bfloat162*>(to);
  pairs[0] = __floats2bfloat162_rn(value.x, value.y);
  pairs[1] = __floats2bfloat162_rn(value.z, value.w);
}

}  // namespace sluice::kernels::device
