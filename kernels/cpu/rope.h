// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding, NeoX halves, preceded by Qwen3's per-head norm of q and k. Frequencies
// and angles follow Transformers (modeling_rope_utils.py, Qwen3RotaryEmbedding) in float32, because
// at position 131,072 a float32 angle is only good to 2^-7: the same rounding gives the same
// rotation, a better one does not.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

struct RopeFrequencies {
  std::vector<float> inv_freq;    // [head_dim / 2]
  float attention_factor = 1.0f;  // multiplies cos and sin
};

// inv_freq[i] = 1 / theta^(2i / head_dim).
RopeFrequencies DefaultRope(double theta, int head_dim);

// Static YaRN (Transformers' _compute_yarn_parameters with truncate = true).
struct YarnParams {
  double factor = 1.0;
  int64_t original_max_positions = 0;  // original_max_position_embeddings, 32768 for Qwen3
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double attention_factor = 0.0;  // 0: 0.1 * ln(factor) + 1
};
RopeFrequencies YarnRope(double theta, int head_dim, const YarnParams& params);

// cos_out, sin_out [positions.size()][head_dim / 2] f32: cos and sin of float(position) *
// inv_freq[i], rounded to float32 and multiplied by attention_factor. Once per step; every layer
// reads the result.
void RopeAngles(const RopeFrequencies& frequencies, std::span<const int32_t> positions,
                float* cos_out, float* sin_out, ThreadPool& pool);

// For each token and each of num_heads heads at heads + token * token_stride + head * head_dim
// (f32, in place): RMSNorm over head_dim with norm_weight [head_dim] (skipped when null), then with
// h = head_dim / 2:
//   out[i] = x[i] * cos[i] - x[i + h] * sin[i];  out[i + h] = x[i + h] * cos[i] + x[i] * sin[i]
// each product rounded before the sum, as Transformers does.
void HeadNormRope(float* heads, int64_t token_stride, int64_t num_tokens, int num_heads,
                  int head_dim, const float* norm_weight, float eps, const float* cos,
                  const float* sin, ThreadPool& pool);

}  // namespace sluice::kernels::cpu
