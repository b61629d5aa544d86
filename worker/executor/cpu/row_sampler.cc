// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cpu/row_sampler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/sampling/logprobs.h"

namespace sluice::worker {
namespace {

std::vector<kernels::cpu::LogitBias> BiasOf(const SamplingParams& params) {
  std::vector<kernels::cpu::LogitBias> bias;
  bias.reserve(params.logit_bias.size());
  for (const auto& [id, value] : params.logit_bias) bias.push_back({.id = id, .bias = value});
  return bias;
}

kernels::cpu::SamplerParams ParamsOf(const RowAdd::Sampling& sampling,
                                     std::span<const kernels::cpu::LogitBias> bias) {
  const SamplingParams& params = sampling.params;
  return {.temperature = params.temperature,
          .top_k = params.top_k,
          .top_p = params.top_p,
          .min_p = params.min_p,
          .repetition_penalty = params.repetition_penalty,
          .presence_penalty = params.presence_penalty,
          .frequency_penalty = params.frequency_penalty,
          .logit_bias = bias,
          .allowed_ids = params.allowed_token_ids,
          .banned_ids = params.banned_token_ids,
          .stop_ids = sampling.stop_ids,
          .min_tokens = params.min_tokens,
          .seed = params.seed,
          .choice = sampling.choice};
}

}  // namespace

RowSampler::RowSampler(int vocab_size, int num_token_ids, kernels::cpu::ThreadPool* pool)
    : vocab_size_(vocab_size),
      num_token_ids_(num_token_ids),
      pool_(*pool),
      samplers_(static_cast<size_t>(pool->num_threads())) {}

absl::Status RowSampler::Sample(std::span<const float> logits, std::span<const RowId> rows,
                                const RowTable& table, std::vector<RowSample>* samples) {
  for (const RowId row : rows) {
    if (table.row(row).sampling == nullptr) {
      return absl::InternalError(absl::StrCat("row ", row, " came without sampling parameters"));
    }
  }
  samples->assign(rows.size(), RowSample());
  const auto width = static_cast<size_t>(vocab_size_);
  const size_t threads = std::min(samplers_.size(), rows.size());
  pool_.ParallelFor(static_cast<int>(threads), [&](int task) {
    const auto first = static_cast<size_t>(task);
    for (size_t i = first; i < rows.size(); i += threads) {
      (*samples)[i] = SampleRow(logits.subspan(i * width, width), rows[i], table.row(rows[i]),
                                &samplers_[first]);
    }
  });
  return absl::OkStatus();
}

RowSample RowSampler::SampleRow(std::span<const float> logits, RowId row,
                                const RowTable::Row& state, kernels::cpu::Sampler* sampler) const {
  const std::vector<kernels::cpu::LogitBias> bias = BiasOf(state.sampling->params);
  const kernels::cpu::SampleResult result = sampler->Sample(
      logits, num_token_ids_, ParamsOf(*state.sampling, bias), &state.history, state.num_outputs);
  RowSample sample;
  sample.row = row;
  // A row whose masks leave nothing has no token either; the request fails the same way.
  sample.bad_logits = result.outcome != kernels::cpu::SampleOutcome::kSampled;
  if (sample.bad_logits) return sample;
  sample.id = result.id;
  if (!state.sampling->params.logprobs.has_value()) return sample;
  const int top_k = std::clamp(*state.sampling->params.logprobs, 0, kernels::cpu::kMaxLogprobs);
  const kernels::cpu::Logprobs logprobs =
      kernels::cpu::RawLogprobs(logits.data(), vocab_size_, num_token_ids_, result.id, top_k);
  sample.logprobs.logprob = logprobs.chosen;
  sample.logprobs.top_ids.assign(logprobs.top_ids, logprobs.top_ids + logprobs.num_top);
  sample.logprobs.top_logprobs.assign(logprobs.top_logprobs,
                                      logprobs.top_logprobs + logprobs.num_top);
  return sample;
}

}  // namespace sluice::worker
