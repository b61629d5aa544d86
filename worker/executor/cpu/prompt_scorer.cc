// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cpu/prompt_scorer.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/sampling/logprobs.h"
#include "proto/wire/status_macros.h"
#include "worker/executor/cpu/token_logprobs.h"

namespace sluice::worker {
namespace {

// 10 MB of logits for a vocabulary of 151,936, and enough rows for the head's linear to run well.
constexpr size_t kBlockTokens = 16;

}  // namespace

PromptScorer::PromptScorer(int vocab_size, int num_token_ids, bool leader,
                           kernels::cpu::ThreadPool* pool)
    : vocab_size_(vocab_size), num_token_ids_(num_token_ids), leader_(leader), pool_(*pool) {}

absl::Status PromptScorer::Score(const StepBatch& batch, const RowTable& table, Qwen3Model* model,
                                 std::vector<PromptLogprobs>* out) {
  tokens_.clear();
  targets_.clear();
  for (const StepBatch::Scored& run : batch.scored) {
    for (int32_t i = 0; i < run.num_tokens; ++i) tokens_.push_back(run.first_token + i);
  }
  if (leader_) SLUICE_RETURN_IF_ERROR(CollectTargets(batch, table, out));
  for (size_t first = 0; first < tokens_.size(); first += kBlockTokens) {
    const size_t count = std::min(kBlockTokens, tokens_.size() - first);
    const size_t floats = leader_ ? count * static_cast<size_t>(vocab_size_) : 0;
    if (logits_.size() < floats) logits_.resize(floats);
    SLUICE_RETURN_IF_ERROR(model->MoreLogits(std::span(tokens_).subspan(first, count),
                                             std::span(logits_).first(floats)));
    if (leader_) ScoreBlock(first, count);
  }
  return absl::OkStatus();
}

absl::Status PromptScorer::CollectTargets(const StepBatch& batch, const RowTable& table,
                                          std::vector<PromptLogprobs>* out) {
  out->resize(batch.scored.size());
  for (size_t run = 0; run < batch.scored.size(); ++run) {
    const StepBatch::Scored& scored = batch.scored[run];
    PromptLogprobs& result = (*out)[run];
    const auto& sampling = table.row(scored.row).sampling;
    const auto next = static_cast<size_t>(scored.position) + 1;
    const auto count = static_cast<size_t>(scored.num_tokens);
    if (sampling == nullptr || sampling->prompt.size() < next + count) {
      return absl::InternalError(absl::StrCat("row ", scored.row, " is scored up to position ",
                                              next + count, ", beyond its prompt"));
    }
    result.row = scored.row;
    result.first_position = scored.position + 1;
    result.logprobs.resize(count);
    const int top_k =
        std::clamp(sampling->params.prompt_logprobs.value_or(0), 0, kernels::cpu::kMaxLogprobs);
    for (size_t i = 0; i < count; ++i) {
      targets_.push_back(
          {.next = sampling->prompt[next + i], .top_k = top_k, .run = &result, .index = i});
    }
  }
  return absl::OkStatus();
}

void PromptScorer::ScoreBlock(size_t first, size_t count) {
  scored_.resize(count);
  bad_.assign(count, 0);
  pool_.ParallelFor(static_cast<int>(count), [&](int task) {
    const auto i = static_cast<size_t>(task);
    const Target& target = targets_[first + i];
    const kernels::cpu::Logprobs logprobs =
        kernels::cpu::RawLogprobs(logits_.data() + i * static_cast<size_t>(vocab_size_),
                                  vocab_size_, num_token_ids_, target.next, target.top_k);
    bad_[i] = !logprobs.finite;
    scored_[i] = ToTokenLogprobs(logprobs);
  });
  for (size_t i = 0; i < count; ++i) {
    const Target& target = targets_[first + i];
    target.run->bad_logits |= bad_[i] != 0;
    target.run->logprobs[target.index] = std::move(scored_[i]);
  }
}

}  // namespace sluice::worker
