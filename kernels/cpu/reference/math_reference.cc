// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/reference/math_reference.h"

#include <cmath>

#include "kernels/host/float_math.h"

namespace sluice::kernels::cpu::reference {
namespace {

float SumLanes(float* lane) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  }
  return lane[0];
}

}  // namespace

float Exp(float x) { return kernels::Exp(x); }

float TreeSum16(const std::vector<float>& values) {
  float lane[16] = {};
  for (size_t i = 0; i < values.size(); ++i) lane[i % 16] += values[i];
  return SumLanes(lane);
}

std::vector<float> RmsNorm(const std::vector<float>& x, const std::vector<float>& weight,
                           float eps) {
  float lane[16] = {};
  for (size_t i = 0; i < x.size(); ++i) lane[i % 16] = std::fma(x[i], x[i], lane[i % 16]);
  const float mean = SumLanes(lane) / static_cast<float>(x.size());
  const float inverse = 1.0f / std::sqrt(mean + eps);
  std::vector<float> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = weight[i] * (x[i] * inverse);
  return y;
}

std::vector<float> SiluMul(const std::vector<float>& gate, const std::vector<float>& up) {
  std::vector<float> out(gate.size());
  for (size_t i = 0; i < gate.size(); ++i) out[i] = gate[i] / (1.0f + Exp(0.0f - gate[i])) * up[i];
  return out;
}

std::vector<float> Rotate(const std::vector<float>& head, const std::vector<float>& cos,
                          const std::vector<float>& sin) {
  const size_t half = head.size() / 2;
  std::vector<float> out(head.size());
  for (size_t i = 0; i < half; ++i) {
    out[i] = head[i] * cos[i] - head[i + half] * sin[i];
    out[i + half] = head[i + half] * cos[i] + head[i] * sin[i];
  }
  return out;
}

}  // namespace sluice::kernels::cpu::reference
