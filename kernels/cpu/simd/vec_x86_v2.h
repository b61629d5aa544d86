// SPDX-License-Identifier: Apache-2.0
// Vec for x86-64-v2: SSE4.1, four lanes. There is no FMA instruction, so Fma is emulated with
// correct rounding: in double the product of two floats is exact, the sum is rounded to odd (TwoSum
// tells whether it was inexact), and rounding an odd-rounded 53-bit value to 24 bits equals
// rounding the exact one (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", IEEE
// TC 2008). Slow, and the same bits. Included only by table_x86_v2.cc.
#pragma once

#include <smmintrin.h>

#include <cstdint>

namespace sluice::kernels::cpu::simd {
namespace {

// fma of two lanes in double, rounded to odd.
inline __m128d FmaRoundToOdd(__m128d a, __m128d b, __m128d c) {
  const __m128d product = _mm_mul_pd(a, b);
  const __m128d sum = _mm_add_pd(product, c);
  const __m128d c_part = _mm_sub_pd(sum, product);
  const __m128d product_part = _mm_sub_pd(sum, c_part);
  const __m128d error = _mm_add_pd(_mm_sub_pd(c, c_part), _mm_sub_pd(product, product_part));
  const __m128i bits = _mm_castpd_si128(sum);
  const __m128i one = _mm_set1_epi64x(1);
  // Ordered: a NaN error (the sum is infinite or NaN) leaves the sum alone.
  const __m128i inexact = _mm_castpd_si128(
      _mm_and_pd(_mm_cmpneq_pd(error, _mm_setzero_pd()), _mm_cmpord_pd(error, error)));
  const __m128i even = _mm_cmpeq_epi64(_mm_and_si128(bits, one), _mm_setzero_si128());
  // Toward the error: one ulp up in magnitude when error and sum agree in sign, else one down.
  const __m128i differ = _mm_castpd_si128(_mm_xor_pd(error, sum));
  const __m128i down = _mm_shuffle_epi32(_mm_srai_epi32(differ, 31), _MM_SHUFFLE(3, 3, 1, 1));
  const __m128i step = _mm_or_si128(down, one);  // -1 or +1
  return _mm_castsi128_pd(_mm_add_epi64(bits, _mm_and_si128(step, _mm_and_si128(inexact, even))));
}

struct Vec {
  static constexpr int kLanes = 4;
  static constexpr int kRowTile = 4;
  using F = __m128;
  using I = __m128i;
  using Mask = __m128;

  static F Zero() { return _mm_setzero_ps(); }
  static F Set(float v) { return _mm_set1_ps(v); }
  static F Load(const float* p) { return _mm_loadu_ps(p); }
  static void Store(float* p, F v) { _mm_storeu_ps(p, v); }
  static F Add(F a, F b) { return _mm_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm_sub_ps(a, b); }
  static F Mul(F a, F b) { return _mm_mul_ps(a, b); }
  static F Div(F a, F b) { return _mm_div_ps(a, b); }
  // Not inlined: forty instructions, at a thousand places.
  [[gnu::noinline]] static F Fma(F a, F b, F c) {
    const __m128d low = FmaRoundToOdd(_mm_cvtps_pd(a), _mm_cvtps_pd(b), _mm_cvtps_pd(c));
    const __m128d high =
        FmaRoundToOdd(_mm_cvtps_pd(_mm_movehl_ps(a, a)), _mm_cvtps_pd(_mm_movehl_ps(b, b)),
                      _mm_cvtps_pd(_mm_movehl_ps(c, c)));
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
  }
  static F Max(F a, F b) { return _mm_max_ps(a, b); }  // b when either is NaN
  static F Min(F a, F b) { return _mm_min_ps(a, b); }
  static Mask Less(F a, F b) { return _mm_cmplt_ps(a, b); }
  static F ZeroWhere(Mask m, F v) { return _mm_andnot_ps(m, v); }
  static F SelectTail(int keep, F v, float other) {
    const __m128i lane = _mm_setr_epi32(0, 1, 2, 3);
    const __m128 kept = _mm_castsi128_ps(_mm_cmplt_epi32(lane, _mm_set1_epi32(keep)));
    return _mm_blendv_ps(_mm_set1_ps(other), v, kept);
  }
  static F Exponent(F magic) {  // 2^n from the float n + 1.5 * 2^23
    return _mm_castsi128_ps(
        _mm_add_epi32(_mm_slli_epi32(_mm_castps_si128(magic), 23), _mm_set1_epi32(0x3F800000)));
  }
  static bool AllFinite(F v) {
    const __m128i exponent = _mm_set1_epi32(0x7F800000);
    const __m128i special = _mm_cmpeq_epi32(_mm_and_si128(_mm_castps_si128(v), exponent), exponent);
    return _mm_movemask_epi8(special) == 0;
  }

  static I LoadWords(const uint32_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static I ShiftRight16(I w) { return _mm_srli_epi32(w, 16); }
  static F MaskOr(I w, uint32_t mask, uint32_t bits) {
    return _mm_castsi128_ps(_mm_or_si128(_mm_and_si128(w, _mm_set1_epi32(static_cast<int>(mask))),
                                         _mm_set1_epi32(static_cast<int>(bits))));
  }
  static F LowBf16(I w) { return _mm_castsi128_ps(_mm_slli_epi32(w, 16)); }
  static F HighBf16(I w) {
    return _mm_castsi128_ps(_mm_and_si128(w, _mm_set1_epi32(static_cast<int>(0xFFFF0000u))));
  }
  // Exact: exponent and mantissa are moved into float's fields and rescaled by 2^112; infinities
  // and NaNs are put right afterwards.
  static F LoadF16(const uint16_t* p) {
    const __m128i half = _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m128i magnitude = _mm_and_si128(half, _mm_set1_epi32(0x7FFF));
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x8000)), 16);
    const __m128 scaled =
        _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(magnitude, 13)), _mm_set1_ps(0x1p112f));
    const __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7BFF));
    const __m128i is_nan = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7C00));
    const __m128i fix = _mm_or_si128(_mm_and_si128(special, _mm_set1_epi32(0x7F800000)),
                                     _mm_and_si128(is_nan, _mm_set1_epi32(0x400000)));
    return _mm_castsi128_ps(_mm_or_si128(_mm_or_si128(_mm_castps_si128(scaled), sign), fix));
  }
  static F LoadU8(const uint8_t* p) {
    int32_t packed;
    __builtin_memcpy(&packed, p, 4);
    return _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(packed)));
  }
};

}  // namespace
}  // namespace sluice::kernels::cpu::simd
