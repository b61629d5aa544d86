// SPDX-License-Identifier: Apache-2.0
// Neighbouring bf16 values to and from fp32.
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

// Rounds to nearest even; low in the low half.
__device__ inline uint32_t PackBf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// to: aligned to 8 bytes.
__device__ inline void Store4Bf16(__nv_bfloat16* to, float4 value) {
  *reinterpret_cast<uint2*>(to) = {PackBf16(value.x, value.y), PackBf16(value.z, value.w)};
}

}  // namespace sluice::kernels::device
