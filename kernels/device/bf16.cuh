// SPDX-License-Identifier: Apache-2.0
// Four neighbouring bf16 values to and from fp32, 8 bytes at a time.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace sluice::kernels::device {

__device__ inline float4 AsFloats(uint2 bits) {
  const float2 low = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&bits.x));
  const float2 high = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&bits.y));
  return {low.x, low.y, high.x, high.y};
}

// from: aligned to 8 bytes.
__device__ inline float4 Load4Bf16(const __nv_bfloat16* from) {
  return AsFloats(*reinterpret_cast<const uint2*>(from));  // one load; of pairs it would be two
}

// The same of what no kernel of a step writes: allowed before device::WaitForPrevious.
__device__ inline float4 LoadConstant4Bf16(const __nv_bfloat16* from) {
  return AsFloats(__ldg(reinterpret_cast<const uint2*>(from)));
}

// Rounds to nearest even. to: aligned to 8 bytes.
__device__ inline void Store4Bf16(__nv_bfloat16* to, float4 value) {
  const __nv_bfloat162 low = __floats2bfloat162_rn(value.x, value.y);
  const __nv_bfloat162 high = __floats2bfloat162_rn(value.z, value.w);
  *reinterpret_cast<uint2*>(to) = {*reinterpret_cast<const uint32_t*>(&low),
                                   *reinterpret_cast<const uint32_t*>(&high)};
}

}  // namespace sluice::kernels::device
