// SPDX-License-Identifier: Apache-2.0
// bf16 as the toolkit's header of this name has it: conversions round to nearest even, arithmetic
// is one fp32 operation, rounded.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "tests/cuda_emulation/include/vector_types.h"

struct __nv_bfloat16 {
  unsigned short bits;

  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) {
    const auto wide = std::bit_cast<uint32_t>(value);
    bits = std::isnan(value) ? uint16_t{0x7fff}
                             : static_cast<uint16_t>((wide + 0x7fffu + (wide >> 16 & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __float2bfloat16(float value) { return __nv_bfloat16(value); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return __nv_bfloat16(value); }
inline float __bfloat162float(__nv_bfloat16 value) { return static_cast<float>(value); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) { return value.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  return std::bit_cast<__nv_bfloat16>(bits);
}

inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 x) { return {x, x}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__nv_bfloat16(x), __nv_bfloat16(y)};
}
inline __nv_bfloat162 __float2bfloat162_rn(float x) { return __floats2bfloat162_rn(x, x); }
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) { return __floats2bfloat162_rn(v.x, v.y); }
inline float2 __bfloat1622float2(__nv_bfloat162 v) {
  return {static_cast<float>(v.x), static_cast<float>(v.y)};
}
inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v) { return v.x; }
inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v) { return v.y; }
inline float __low2float(__nv_bfloat162 v) { return static_cast<float>(v.x); }
inline float __high2float(__nv_bfloat162 v) { return static_cast<float>(v.y); }

#define SLUICE_BF16_ARITHMETIC(name, operation)                                  \
  inline __nv_bfloat16 name(__nv_bfloat16 a, __nv_bfloat16 b) {                  \
    return __nv_bfloat16(static_cast<float>(a) operation static_cast<float>(b)); \
  }                                                                              \
  inline __nv_bfloat162 name##2(__nv_bfloat162 a, __nv_bfloat162 b) {            \
    return {name(a.x, b.x), name(a.y, b.y)};                                     \
  }
SLUICE_BF16_ARITHMETIC(__hadd, +)
SLUICE_BF16_ARITHMETIC(__hsub, -)
SLUICE_BF16_ARITHMETIC(__hmul, *)
#undef SLUICE_BF16_ARITHMETIC
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
  return __nv_bfloat16(
      std::fma(static_cast<float>(a), static_cast<float>(b), static_cast<float>(c)));
}
inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) {
  return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
inline bool __hisnan(__nv_bfloat16 value) { return std::isnan(static_cast<float>(value)); }

// What the toolkit's header brings as well.
#include <cuda_fp16.h>
