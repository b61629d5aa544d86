// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/step_results.h"

#include <utility>

#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

using kernels::sampling::Logprobs;
using kernels::sampling::SampleStatus;

TokenLogprobs ToTokenLogprobs(const Logprobs& from) {
  return {.logprob = from.chosen,
          .top_ids = {from.top_ids, from.top_ids + from.num_top},
          .top_logprobs = {from.top_logprobs, from.top_logprobs + from.num_top}};
}

}  // namespace

absl::StatusOr<StepResults> StepResults::Create(const StepBounds& bounds) {
  StepResults results;
  int64_t bytes = 0;
  const auto place = [&bytes](int64_t length, size_t element) {
    const int64_t offset = bytes;
    bytes = (bytes + length * static_cast<int64_t>(element) + 15) / 16 * 16;
    return offset;
  };
  results.ids_ = place(bounds.max_logits, sizeof(int32_t));
  results.status_ = place(bounds.max_logits, sizeof(SampleStatus));
  results.logprobs_ = place(bounds.max_logits, sizeof(Logprobs));
  results.scores_ = place(bounds.max_tokens, sizeof(Logprobs));
  SLUICE_ASSIGN_OR_RETURN(results.memory_,
                          device::PinnedBuffer::Allocate(bytes, "the results of a step"));
  return results;
}

int StepResults::NumAccepted(const StepBatch::SampledRow& row) const {
  const int32_t* own = ids() + row.first_logits;
  int reached = 0;
  while (reached < row.num_logits() && own[reached] >= 0) ++reached;
  return reached - 1;
}

std::vector<RowSample> StepResults::Samples(const StepBatch& batch,
                                            const std::vector<char>& wants_logprobs) const {
  std::vector<RowSample> samples;
  samples.reserve(batch.sampled_rows.size());
  for (const StepBatch::SampledRow& row : batch.sampled_rows) {
    const bool with_logprobs = wants_logprobs[samples.size()] != 0;
    RowSample sample;
    sample.row = row.row;
    for (int i = row.first_logits; i < row.first_logits + row.num_logits(); ++i) {
      if (status()[i] == SampleStatus::kNotReached) break;
      if (status()[i] != SampleStatus::kSampled) {
        sample.bad_logits = true;
        break;
      }
      SampledToken token{.id = ids()[i], .logprobs = {}};
      if (with_logprobs) token.logprobs = ToTokenLogprobs(logprobs()[i]);
      sample.tokens.push_back(std::move(token));
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

std::vector<PromptLogprobs> StepResults::Scores(const StepBatch& batch) const {
  std::vector<PromptLogprobs> all;
  const Logprobs* next = scores();
  for (const StepBatch::Scored& scored : batch.scored) {
    PromptLogprobs run;
    run.row = scored.row;
    run.first_position = scored.position + 1;
    for (int32_t i = 0; i < scored.num_tokens; ++i, ++next) {
      run.bad_logits |= next->finite == 0;
      run.logprobs.push_back(ToTokenLogprobs(*next));
    }
    all.push_back(std::move(run));
  }
  return all;
}

}  // namespace sluice::worker
