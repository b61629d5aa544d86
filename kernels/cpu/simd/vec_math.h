// SPDX-License-Identifier: Apache-2.0
// Vector math on the including file's Vec: exp and the fixed-order reductions. Included after a
// vec_*.h.
#pragma once

namespace sluice::kernels::cpu::simd {
namespace {

// exp(x), the formula that reference/math_reference.h spells for one lane. Cody-Waite reduction by
// ln 2 and the degree-5 minimax polynomial of Cephes' expf (Moshier), each step an fma; within 1
// ulp for x in
// [-87, 88]. x < -87 gives exactly 0, x > 88 gives exp(88); NaN stays NaN.
inline Vec::F Exp(Vec::F x) {
  constexpr float kMagic =
      12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Vec::F low = Vec::Set(-87.0f);
  const Vec::F clamped = Vec::Min(Vec::Set(88.0f), Vec::Max(low, x));  // operand order keeps a NaN
  const Vec::F magic = Vec::Fma(clamped, Vec::Set(1.44269504f), Vec::Set(kMagic));
  const Vec::F n = Vec::Sub(magic, Vec::Set(kMagic));
  Vec::F r = Vec::Fma(n, Vec::Set(-0.693359375f), clamped);
  r = Vec::Fma(n, Vec::Set(2.12194440e-4f), r);
  Vec::F p = Vec::Set(1.9875691500e-4f);
  p = Vec::Fma(p, r, Vec::Set(1.3981999507e-3f));
  p = Vec::Fma(p, r, Vec::Set(8.3334519073e-3f));
  p = Vec::Fma(p, r, Vec::Set(4.1665795894e-2f));
  p = Vec::Fma(p, r, Vec::Set(1.6666665459e-1f));
  p = Vec::Fma(p, r, Vec::Set(5.0000001201e-1f));
  p = Vec::Add(Vec::Fma(p, Vec::Mul(r, r), r), Vec::Set(1.0f));
  return Vec::ZeroWhere(Vec::Less(x, low), Vec::Mul(p, Vec::Exponent(magic)));
}

// Sixteen running lanes, whatever the vector's width: the unit of every fixed-order sum.
struct Lanes16 {
  static constexpr int kVecs = 16 / Vec::kLanes;
  Vec::F v[kVecs];

  static Lanes16 Filled(float value) {
    Lanes16 lanes;
    for (int i = 0; i < kVecs; ++i) lanes.v[i] = Vec::Set(value);
    return lanes;
  }
  void Store(float* out) const {
    for (int i = 0; i < kVecs; ++i) Vec::Store(out + i * Vec::kLanes, v[i]);
  }
  // l[i] += l[i + 8], then + 4, + 2, + 1.
  float TreeSum() const {
    float lane[16];
    Store(lane);
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    }
    return lane[0];
  }
};

// Calls step(lanes' vector index, vector) for 16 values at a time; a last group of fewer is padded.
template <typename Step>
inline void ForEach16(const float* x, int64_t num, float padding, Step step) {
  int64_t i = 0;
  for (; i + 16 <= num; i += 16) {
    for (int j = 0; j < Lanes16::kVecs; ++j) step(j, Vec::Load(x + i + j * Vec::kLanes));
  }
  if (i == num) return;
  float tail[16];
  for (int j = 0; j < 16; ++j) tail[j] = i + j < num ? x[i + j] : padding;
  for (int j = 0; j < Lanes16::kVecs; ++j) step(j, Vec::Load(tail + j * Vec::kLanes));
}

}  // namespace
}  // namespace sluice::kernels::cpu::simd
