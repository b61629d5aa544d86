// SPDX-License-Identifier: Apache-2.0
#include "worker/model/attention.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/rope.h"
#include "worker/model/norm_weight.h"

namespace sluice::worker {

Attention Attention::Load(const LoadContext& context, int layer) {
  const std::vector<LinearShape> linears = LayerLinears(context.config, layer);
  const std::string prefix = absl::StrCat(LayerPrefix(layer), "self_attn.");
  Attention result;
  result.local_heads_ = context.config.num_heads / context.world_size;
  result.local_kv_heads_ = context.config.num_kv_heads / context.world_size;
  result.eps_ = static_cast<float>(context.config.rms_norm_eps);
  result.qkv_ = ColumnParallelLinear::Load(context, {linears[0], linears[1], linears[2]});
  result.o_ = RowParallelLinear::Load(context, linears[3]);
  result.q_norm_ = LoadNorm(context, absl::StrCat(prefix, "q_norm.weight"), kHeadDim);
  result.k_norm_ = LoadNorm(context, absl::StrCat(prefix, "k_norm.weight"), kHeadDim);
  return result;
}

int64_t Attention::bytes() const {
  return qkv_.bytes() + o_.bytes() +
         static_cast<int64_t>((q_norm_.size() + k_norm_.size()) * sizeof(float));
}

int64_t Attention::ScratchFloats(int64_t num_tokens) const {
  return num_tokens * (qkv_.local_outputs() + local_heads_ * kHeadDim);
}

absl::Status Attention::Forward(const StepContext& step, const kernels::cpu::KvPages& pages,
                                const float* x, float* scratch, float* out) const {
  const int64_t tokens = step.num_tokens;
  const int64_t stride = qkv_.local_outputs();
  const int64_t q_size = int64_t{local_heads_} * kHeadDim;
  const int64_t kv_size = int64_t{local_kv_heads_} * kHeadDim;
  float* q = scratch;  // [tokens][q, k, v]
  float* k = q + q_size;
  const float* v = k + kv_size;
  float* attended = scratch + tokens * stride;  // [tokens][q_size]

  qkv_.Forward(x, tokens, q, step.pool);
  kernels::cpu::HeadNormRope(q, stride, tokens, local_heads_, kHeadDim, q_norm_.data(), eps_,
                             step.cos, step.sin, step.pool);
  kernels::cpu::HeadNormRope(k, stride, tokens, local_kv_heads_, kHeadDim, k_norm_.data(), eps_,
                             step.cos, step.sin, step.pool);
  kernels::cpu::WriteKv(pages, step.places, tokens, k, v, stride, step.pool);
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
  kernels::cpu::PagedAttention(pages, step.places, tokens, q, stride, local_heads_, scale, attended,
                               q_size, step.pool);
  return o_.Forward(attended, tokens, out, step.pool, step.communicator);
}

}  // namespace sluice::worker
