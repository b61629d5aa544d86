// SPDX-License-Identifier: Apache-2.0
// Norms, rotation, activation and reductions on the including file's Vec. Formulas and orders:
// norm.h, rope.h, mlp.h. All bound by reading their inputs.
#pragma once

namespace sluice::kernels::cpu::simd {
namespace {

void RmsNormKernel(const float* x, const float* weight, float eps, int64_t width, float* y) {
  Lanes16 squares = Lanes16::Filled(0.0f);
  ForEach16(x, width, 0.0f, [&](int j, Vec::F v) { squares.v[j] = Vec::Fma(v, v, squares.v[j]); });
  const float mean = squares.TreeSum() / static_cast<float>(width);
  const float inverse = 1.0f / __builtin_sqrtf(mean + eps);
  const Vec::F scale = Vec::Set(inverse);
  int64_t i = 0;
  for (; i + Vec::kLanes <= width; i += Vec::kLanes) {
    Vec::Store(y + i, Vec::Mul(Vec::Load(weight + i), Vec::Mul(Vec::Load(x + i), scale)));
  }
  for (; i < width; ++i) y[i] = weight[i] * (x[i] * inverse);
}

void AddKernel(float* x, const float* y, int64_t num) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= num; i += Vec::kLanes) {
    Vec::Store(x + i, Vec::Add(Vec::Load(x + i), Vec::Load(y + i)));
  }
  for (; i < num; ++i) x[i] += y[i];
}

void RotateKernel(float* head, int half, const float* cos, const float* sin) {
  int i = 0;
  for (; i + Vec::kLanes <= half; i += Vec::kLanes) {
    const Vec::F a = Vec::Load(head + i);
    const Vec::F b = Vec::Load(head + half + i);
    const Vec::F c = Vec::Load(cos + i);
    const Vec::F s = Vec::Load(sin + i);
    Vec::Store(head + i, Vec::Sub(Vec::Mul(a, c), Vec::Mul(b, s)));
    Vec::Store(head + half + i, Vec::Add(Vec::Mul(b, c), Vec::Mul(a, s)));
  }
  for (; i < half; ++i) {
    const float a = head[i];
    const float b = head[half + i];
    head[i] = a * cos[i] - b * sin[i];
    head[half + i] = b * cos[i] + a * sin[i];
  }
}

inline Vec::F SiluTimes(Vec::F gate, Vec::F up) {
  const Vec::F one = Vec::Set(1.0f);
  return Vec::Mul(Vec::Div(gate, Vec::Add(one, Exp(Vec::Sub(Vec::Zero(), gate)))), up);
}

void SiluMulKernel(const float* gate, const float* up, int64_t num, float* out) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= num; i += Vec::kLanes) {
    Vec::Store(out + i, SiluTimes(Vec::Load(gate + i), Vec::Load(up + i)));
  }
  if (i == num) return;
  float g[Vec::kLanes], u[Vec::kLanes];
  for (int j = 0; j < Vec::kLanes; ++j) {
    g[j] = i + j < num ? gate[i + j] : 0.0f;
    u[j] = i + j < num ? up[i + j] : 0.0f;
  }
  Vec::Store(g, SiluTimes(Vec::Load(g), Vec::Load(u)));
  for (int j = 0; i + j < num; ++j) out[i + j] = g[j];
}

float SumExpKernel(const float* x, float shift, int64_t num) {
  Lanes16 sum = Lanes16::Filled(0.0f);
  const Vec::F s = Vec::Set(shift);
  // exp(-inf) is exactly 0, so padding adds nothing.
  ForEach16(x, num, -__builtin_inff(),
            [&](int j, Vec::F v) { sum.v[j] = Vec::Add(sum.v[j], Exp(Vec::Sub(v, s))); });
  return sum.TreeSum();
}

void ExpKernel(const float* x, int64_t num, float* out) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= num; i += Vec::kLanes) Vec::Store(out + i, Exp(Vec::Load(x + i)));
  if (i == num) return;
  float tail[Vec::kLanes];
  for (int j = 0; j < Vec::kLanes; ++j) tail[j] = i + j < num ? x[i + j] : 0.0f;
  Vec::Store(tail, Exp(Vec::Load(tail)));
  for (int j = 0; i + j < num; ++j) out[i + j] = tail[j];
}

float MaxFiniteKernel(const float* x, int64_t num, bool* finite) {
  Lanes16 max = Lanes16::Filled(-__builtin_inff());
  bool all = true;
  ForEach16(x, num, x[0], [&](int j, Vec::F v) {
    all = all && Vec::AllFinite(v);
    max.v[j] = Vec::Max(v, max.v[j]);
  });
  float lane[16];
  max.Store(lane);
  float largest = lane[0];
  for (int i = 1; i < 16; ++i) largest = lane[i] > largest ? lane[i] : largest;
  *finite = all;
  return largest;
}

constexpr KernelTable kTable = {LinearKernel, AttentionKernel, RmsNormKernel,
                                AddKernel,    RotateKernel,    SiluMulKernel,
                                SumExpKernel, ExpKernel,       MaxFiniteKernel};

}  // namespace
}  // namespace sluice::kernels::cpu::simd
