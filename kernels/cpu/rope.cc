// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/cpu/partition.h"
#include "kernels/cpu/simd/kernel_table.h"

namespace sluice::kernels::cpu {
namespace {

// theta^(2i / head_dim) in float32: exponent and base rounded to float first, as torch does, then
// the power rounded once.
float PositionFrequency(double theta, int head_dim, int i) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
  return static_cast<float>(
      std::pow(static_cast<double>(static_cast<float>(theta)), double{exponent}));
}

// The (fractional) dimension that turns num_rotations times over max_positions.
double CorrectionDim(double num_rotations, int head_dim, double theta, int64_t max_positions) {
  return head_dim *
         std::log(static_cast<double>(max_positions) / (num_rotations * 2 * std::numbers::pi)) /
         (2 * std::log(theta));
}

}  // namespace

RopeFrequencies DefaultRope(double theta, int head_dim) {
  RopeFrequencies out;
  for (int i = 0; i < head_dim / 2; ++i) {
    out.inv_freq.push_back(1.0f / PositionFrequency(theta, head_dim, i));
  }
  return out;
}

RopeFrequencies YarnRope(double theta, int head_dim, const YarnParams& params) {
  const double low = std::max(
      std::floor(CorrectionDim(params.beta_fast, head_dim, theta, params.original_max_positions)),
      0.0);
  double high = std::min(
      std::ceil(CorrectionDim(params.beta_slow, head_dim, theta, params.original_max_positions)),
      head_dim - 1.0);
  if (low == high) high += 0.001;  // as the source: no division by zero

  RopeFrequencies out;
  const auto factor = static_cast<float>(params.factor);
  for (int i = 0; i < head_dim / 2; ++i) {
    const float frequency = PositionFrequency(theta, head_dim, i);
    const float extrapolated = 1.0f / frequency;
    const float interpolated = 1.0f / (factor * frequency);
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1.0f - ramp;
    out.inv_freq.push_back(interpolated * (1.0f - keep) + extrapolated * keep);
  }
  double attention_factor = params.attention_factor;
  if (attention_factor == 0.0) {
    attention_factor = params.factor <= 1.0 ? 1.0 : 0.1 * std::log(params.factor) + 1.0;
  }
  out.attention_factor = static_cast<float>(attention_factor);
  return out;
}

void RopeAngles(const RopeFrequencies& frequencies, std::span<const int32_t> positions,
                float* cos_out, float* sin_out, ThreadPool& pool) {
  const auto half = static_cast<int64_t>(frequencies.inv_freq.size());
  // A sine costs about as much as 32 floats of elementwise work.
  ForRanges(static_cast<int64_t>(positions.size()), MinRowsPerTask(half * 32), pool,
            [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) {
                for (int64_t i = 0; i < half; ++i) {
                  // The product is rounded to float32 as in the source; its sine is then taken in
                  // double, since float32 libraries reduce arguments of 1e5 differently.
                  const float angle = static_cast<float>(positions[t]) * frequencies.inv_freq[i];
                  cos_out[t * half + i] =
                      static_cast<float>(std::cos(double{angle})) * frequencies.attention_factor;
                  sin_out[t * half + i] =
                      static_cast<float>(std::sin(double{angle})) * frequencies.attention_factor;
                }
              }
            });
}

void HeadNormRope(float* heads, int64_t token_stride, int64_t num_tokens, int num_heads,
                  int head_dim, const float* norm_weight, float eps, const float* cos,
                  const float* sin, ThreadPool& pool) {
  const simd::KernelTable& kernels = simd::Active();
  const int half = head_dim / 2;
  ForRanges(num_tokens, MinRowsPerTask(int64_t{num_heads} * head_dim), pool,
            [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) {
                for (int h = 0; h < num_heads; ++h) {
                  float* head = heads + t * token_stride + int64_t{h} * head_dim;
                  if (norm_weight != nullptr)
                    kernels.rms_norm(head, norm_weight, eps, head_dim, head);
                  kernels.rotate(head, half, cos + t * half, sin + t * half);
                }
              }
            });
}

}  // namespace sluice::kernels::cpu
