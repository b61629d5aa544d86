// SPDX-License-Identifier: Apache-2.0
// Vec for x86-64-v3: AVX2, FMA, F16C, eight lanes. Included only by table_x86_v3.cc.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace sluice::kernels::cpu::simd {
namespace {

struct Vec {
  static constexpr int kLanes = 8;
  static constexpr int kRowTile = 6;  // 6 rows x 2 vectors of accumulators, of 16 registers
  using F = __m256;
  using I = __m256i;
  using Mask = __m256;

  static F Zero() { return _mm256_setzero_ps(); }
  static F Set(float v) { return _mm256_set1_ps(v); }
  static F Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F Div(F a, F b) { return _mm256_div_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F Max(F a, F b) { return _mm256_max_ps(a, b); }  // b when either is NaN
  static F Min(F a, F b) { return _mm256_min_ps(a, b); }
  static Mask Less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static F ZeroWhere(Mask m, F v) { return _mm256_andnot_ps(m, v); }
  static F SelectTail(int keep, F v, float other) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256 kept = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(keep), lane));
    return _mm256_blendv_ps(_mm256_set1_ps(other), v, kept);
  }
  static F Exponent(F magic) {  // 2^n from the float n + 1.5 * 2^23
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(magic), 23),
                                                _mm256_set1_epi32(0x3F800000)));
  }
  static bool AllFinite(F v) {
    const __m256i exponent = _mm256_set1_epi32(0x7F800000);
    const __m256i special =
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(v), exponent), exponent);
    return _mm256_testz_si256(special, special) != 0;
  }

  static I LoadWords(const uint32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static I ShiftRight16(I w) { return _mm256_srli_epi32(w, 16); }
  static F MaskOr(I w, uint32_t mask, uint32_t bits) {
    return _mm256_castsi256_ps(
        _mm256_or_si256(_mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(mask))),
                        _mm256_set1_epi32(static_cast<int>(bits))));
  }
  static F LowBf16(I w) { return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)); }
  static F HighBf16(I w) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u))));
  }
  static F LoadF16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static F LoadU8(const uint8_t* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
};

}  // namespace
}  // namespace sluice::kernels::cpu::simd
