// SPDX-License-Identifier: Apache-2.0
#include "worker/model/decoder_layer.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/norm.h"
#include "proto/wire/status_macros.h"
#include "worker/model/norm_weight.h"

namespace sluice::worker {

DecoderLayer DecoderLayer::Load(const LoadContext& context, int layer) {
  const std::string prefix = LayerPrefix(layer);
  DecoderLayer result;
  result.hidden_ = context.config.hidden_size;
  result.eps_ = static_cast<float>(context.config.rms_norm_eps);
  result.input_norm_ =
      LoadNorm(context, absl::StrCat(prefix, "input_layernorm.weight"), result.hidden_);
  result.post_attention_norm_ =
      LoadNorm(context, absl::StrCat(prefix, "post_attention_layernorm.weight"), result.hidden_);
  result.attention_ = Attention::Load(context, layer);
  result.mlp_ = Mlp::Load(context, layer);
  return result;
}

int64_t DecoderLayer::bytes() const {
  return attention_.bytes() + mlp_.bytes() +
         static_cast<int64_t>((input_norm_.size() + post_attention_norm_.size()) * sizeof(float));
}

int64_t DecoderLayer::ScratchFloats(int64_t num_tokens) const {
  return std::max(attention_.ScratchFloats(num_tokens), mlp_.ScratchFloats(num_tokens));
}

absl::Status DecoderLayer::Forward(const StepContext& step, const kernels::cpu::KvPages& pages,
                                   bool has_delta, float* residual, float* delta, float* normed,
                                   float* scratch) const {
  if (has_delta) {
    kernels::cpu::AddRmsNorm(residual, delta, input_norm_.data(), eps_, step.num_tokens, hidden_,
                             normed, step.pool);
  } else {
    kernels::cpu::RmsNorm(residual, input_norm_.data(), eps_, step.num_tokens, hidden_, normed,
                          step.pool);
  }
  SLUICE_RETURN_IF_ERROR(attention_.Forward(step, pages, normed, scratch, delta));
  kernels::cpu::AddRmsNorm(residual, delta, post_attention_norm_.data(), eps_, step.num_tokens,
                           hidden_, normed, step.pool);
  return mlp_.Forward(step, normed, scratch, delta);
}

}  // namespace sluice::worker
