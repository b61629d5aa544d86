// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cpu/row_sampler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/sampling/logprobs.h"
#include "worker/executor/cpu/token_logprobs.h"

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

RowSampler::RowSampler(int vocab_size, int num_token_ids, bool processed_logprobs,
                       kernels::cpu::ThreadPool* pool)
    : vocab_size_(vocab_size),
      num_token_ids_(num_token_ids),
      processed_logprobs_(processed_logprobs),
      pool_(*pool),
      samplers_(static_cast<size_t>(pool->num_threads())) {}

absl::Status RowSampler::Sample(std::span<const float> logits, const StepBatch& batch,
                                RowOutputs* outputs, std::vector<RowSample>* samples) {
  const auto& rows = batch.sampled_rows;
  for (const StepBatch::SampledRow& row : rows) {
    if (outputs->row(row.row).sampling == nullptr) {
      return absl::InternalError(
          absl::StrCat("row ", row.row, " came without sampling parameters"));
    }
  }
  samples->assign(rows.size(), RowSample());
  const auto width = static_cast<size_t>(vocab_size_);
  const size_t threads = std::min(samplers_.size(), rows.size());
  pool_.ParallelFor(static_cast<int>(threads), [&](int task) {
    const auto first = static_cast<size_t>(task);
    for (size_t i = first; i < rows.size(); i += threads) {
      const auto begin = static_cast<size_t>(rows[i].first_logits) * width;
      const auto size = static_cast<size_t>(rows[i].num_logits()) * width;
      (*samples)[i] = SampleRow(logits.subspan(begin, size), rows[i], outputs, &samplers_[first]);
    }
  });
  return absl::OkStatus();
}

RowSample RowSampler::SampleRow(std::span<const float> logits, const StepBatch::SampledRow& row,
                                RowOutputs* outputs, kernels::cpu::Sampler* sampler) const {
  const auto width = static_cast<size_t>(vocab_size_);
  RowSample sample;
  sample.row = row.row;
  for (size_t i = 0; i <= row.drafts.size(); ++i) {
    std::optional<SampledToken> token =
        SampleToken(logits.subspan(i * width, width), outputs->row(row.row), sampler);
    if (!token) {
      sample.bad_logits = true;
      return sample;
    }
    outputs->Append(row.row, token->id);
    sample.tokens.push_back(*std::move(token));
    if (i < row.drafts.size() && sample.tokens.back().id != row.drafts[i]) break;
  }
  return sample;
}

std::optional<SampledToken> RowSampler::SampleToken(std::span<const float> logits,
                                                    const RowOutputs::Row& state,
                                                    kernels::cpu::Sampler* sampler) const {
  const std::vector<kernels::cpu::LogitBias> bias = BiasOf(state.sampling->params);
  const kernels::cpu::SampleResult result = sampler->Sample(
      logits, num_token_ids_, ParamsOf(*state.sampling, bias), &state.history, state.num_outputs);
  // A row whose masks leave nothing has no token either; the request fails the same way.
  if (result.outcome != kernels::cpu::SampleOutcome::kSampled) return std::nullopt;
  SampledToken token;
  token.id = result.id;
  if (!state.sampling->params.logprobs.has_value()) return token;
  const int top_k = std::clamp(*state.sampling->params.logprobs, 0, kernels::cpu::kMaxLogprobs);
  token.logprobs = ToTokenLogprobs(
      processed_logprobs_ ? sampler->ProcessedLogprobs(result.id, top_k)
                          : kernels::cpu::RawLogprobs(logits.data(), vocab_size_, num_token_ids_,
                                                      result.id, top_k));
  return token;
}

}  // namespace sluice::worker
