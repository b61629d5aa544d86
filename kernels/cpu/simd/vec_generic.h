// SPDX-License-Identifier: Apache-2.0
// Vec for hosts without a vector path: one lane, std::fma. Included only by table_generic.cc.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/float_type.h"

namespace sluice::kernels::cpu::simd {
namespace {

struct Vec {
  static constexpr int kLanes = 1;
  static constexpr int kRowTile = 4;
  using F = float;
  using I = uint32_t;
  using Mask = bool;

  static F Zero() { return 0.0f; }
  static F Set(float v) { return v; }
  static F Load(const float* p) { return *p; }
  static void Store(float* p, F v) { *p = v; }
  static F Add(F a, F b) { return a + b; }
  static F Sub(F a, F b) { return a - b; }
  static F Mul(F a, F b) { return a * b; }
  static F Div(F a, F b) { return a / b; }
  static F Fma(F a, F b, F c) { return std::fma(a, b, c); }
  static F Max(F a, F b) { return a > b ? a : b; }  // b when either is NaN
  static F Min(F a, F b) { return a < b ? a : b; }
  static Mask Less(F a, F b) { return a < b; }
  static F ZeroWhere(Mask m, F v) { return m ? 0.0f : v; }
  static F SelectTail(int keep, F v, float other) { return keep > 0 ? v : other; }
  static F Exponent(F magic) {  // 2^n from the float n + 1.5 * 2^23
    return std::bit_cast<float>((std::bit_cast<uint32_t>(magic) << 23) + 0x3F800000u);
  }
  static bool AllFinite(F v) { return (std::bit_cast<uint32_t>(v) & 0x7F800000u) != 0x7F800000u; }

  static I LoadWords(const uint32_t* p) { return *p; }
  static I ShiftRight16(I w) { return w >> 16; }
  static F MaskOr(I w, uint32_t mask, uint32_t bits) {
    return std::bit_cast<float>((w & mask) | bits);
  }
  static F LowBf16(I w) { return std::bit_cast<float>(w << 16); }
  static F HighBf16(I w) { return std::bit_cast<float>(w & 0xFFFF0000u); }
  static F LoadF16(const uint16_t* p) { return F16ToFloat(*p); }
  static F LoadU8(const uint8_t* p) { return static_cast<float>(*p); }
};

}  // namespace
}  // namespace sluice::kernels::cpu::simd
