// SPDX-License-Identifier: Apache-2.0
// One decoder layer: norm, attention, norm, feed-forward network, each pair added to the residual
// stream. The addition is fused into the norm that follows it, so a layer takes the delta of the
// one before and leaves its own.
//
// Weights are immutable after Load; the step thread calls Forward.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/model/attention.h"
#include "worker/model/load_context.h"
#include "worker/model/mlp.h"
#include "worker/model/step_context.h"

namespace sluice::worker {

class DecoderLayer {
 public:
  static DecoderLayer Load(const LoadContext& context, int layer);

  int64_t bytes() const;
  int64_t ScratchFloats(int64_t num_tokens) const;

  // residual, delta and normed (scratch) are [num_tokens][hidden]. Adds delta to residual, unless
  // has_delta is false (the first layer), and leaves in delta what is still to be added.
  absl::Status Forward(const StepContext& step, const kernels::cpu::KvPages& pages, bool has_delta,
                       float* residual, float* delta, float* normed, float* scratch) const;

 private:
  int64_t hidden_ = 0;
  float eps_ = 0.0f;
  std::vector<float> input_norm_;           // [hidden]
  std::vector<float> post_attention_norm_;  // [hidden]
  Attention attention_;
  Mlp mlp_;
};

}  // namespace sluice::worker
