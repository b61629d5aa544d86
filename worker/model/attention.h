// SPDX-License-Identifier: Apache-2.0
// Qwen3's attention, one rank's heads of one layer: q, k, v; a norm over each head of q and k,
// before RoPE; paged causal attention with grouped queries; o. Query heads and KV heads are shared
// by rank in equal runs, so a group of query heads and its KV head are always on one rank.
//
// Weights are immutable after Load; the step thread calls Forward.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/model/linear.h"
#include "worker/model/load_context.h"
#include "worker/model/step_context.h"

namespace sluice::worker {

class Attention {
 public:
  static Attention Load(const LoadContext& context, int layer);

  int64_t bytes() const;
  // Floats that Forward needs as scratch for num_tokens.
  int64_t ScratchFloats(int64_t num_tokens) const;

  // x, out [num_tokens][hidden]; writes the tokens' keys and values into pages.
  absl::Status Forward(const StepContext& step, const kernels::cpu::KvPages& pages, const float* x,
                       float* scratch, float* out) const;

 private:
  int local_heads_ = 0;
  int local_kv_heads_ = 0;
  float eps_ = 0.0f;
  ColumnParallelLinear qkv_;
  RowParallelLinear o_;
  std::vector<float> q_norm_;  // [head_dim]
  std::vector<float> k_norm_;  // [head_dim]
};

}  // namespace sluice::worker
