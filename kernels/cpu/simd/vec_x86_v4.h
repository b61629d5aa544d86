// SPDX-License-Identifier: Apache-2.0
// Vec for x86-64-v4: AVX-512, sixteen lanes. Included only by table_x86_v4.cc.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace sluice::kernels::cpu::simd {
namespace {

struct Vec {
  static constexpr int kLanes = 16;
  static constexpr int kRowTile = 8;  // 8 rows x 2 vectors: twice what FMA latency needs
  using F = __m512;
  using I = __m512i;
  using Mask = __mmask16;

  static F Zero() { return _mm512_setzero_ps(); }
  static F Set(float v) { return _mm512_set1_ps(v); }
  static F Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Div(F a, F b) { return _mm512_div_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F Max(F a, F b) { return _mm512_max_ps(a, b); }  // b when either is NaN
  static F Min(F a, F b) { return _mm512_min_ps(a, b); }
  static Mask Less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static F ZeroWhere(Mask m, F v) { return _mm512_maskz_mov_ps(static_cast<Mask>(~m), v); }
  static F SelectTail(int keep, F v, float other) {
    const Mask kept = keep >= 16 ? 0xFFFF : keep <= 0 ? 0 : static_cast<Mask>((1u << keep) - 1u);
    return _mm512_mask_mov_ps(_mm512_set1_ps(other), kept, v);
  }
  static F Exponent(F magic) {  // 2^n from the float n + 1.5 * 2^23
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(magic), 23),
                                                _mm512_set1_epi32(0x3F800000)));
  }
  static bool AllFinite(F v) {
    const __m512i exponent = _mm512_set1_epi32(0x7F800000);
    return _mm512_cmpeq_epi32_mask(_mm512_and_si512(_mm512_castps_si512(v), exponent), exponent) ==
           0;
  }

  static I LoadWords(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static I ShiftRight16(I w) { return _mm512_srli_epi32(w, 16); }
  static F MaskOr(I w, uint32_t mask, uint32_t bits) {
    // (w & mask) | bits: truth table over (w, mask, bits) with bit index 4w + 2m + b.
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(w, _mm512_set1_epi32(static_cast<int>(mask)),
                                  _mm512_set1_epi32(static_cast<int>(bits)), 0xEA));
  }
  static F LowBf16(I w) { return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)); }
  static F HighBf16(I w) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
  }
  static F LoadF16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F LoadU8(const uint8_t* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
};

}  // namespace
}  // namespace sluice::kernels::cpu::simd
