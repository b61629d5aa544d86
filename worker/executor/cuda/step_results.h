// SPDX-License-Identifier: Apache-2.0
// StepResults: what a step leaves for the host, in pinned memory that the step's stream fills; and
// how it becomes a StepResult. One a step in flight; read once the step has run.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/sampling/logprobs.h"
#include "kernels/sampling/sample.h"
#include "worker/base/ids.h"
#include "worker/device/device_buffer.h"
#include "worker/executor/cuda/workspace.h"
#include "worker/executor/executor.h"
#include "worker/executor/row_table.h"

namespace sluice::worker {

class StepResults {
 public:
  StepResults() = default;
  static absl::StatusOr<StepResults> Create(const StepBounds& bounds);

  // [max_logits] each, beside the step's logits.
  int32_t* ids() const { return memory_.As<int32_t>(ids_); }  // on every rank
  kernels::sampling::SampleStatus* status() const {
    return memory_.As<kernels::sampling::SampleStatus>(status_);
  }
  kernels::sampling::Logprobs* logprobs() const {
    return memory_.As<kernels::sampling::Logprobs>(logprobs_);
  }
  // [max_tokens]: of the scored tokens, run after run.
  kernels::sampling::Logprobs* scores() const {
    return memory_.As<kernels::sampling::Logprobs>(scores_);
  }

  // How many drafts of a row that sampled hold; known on every rank.
  int NumAccepted(const StepBatch::SampledRow& row) const;
  // Rank 0. wants_logprobs: beside batch.sampled_rows.
  std::vector<RowSample> Samples(const StepBatch& batch,
                                 const std::vector<char>& wants_logprobs) const;
  std::vector<PromptLogprobs> Scores(const StepBatch& batch) const;

 private:
  device::PinnedBuffer memory_;
  int64_t ids_ = 0;  // offsets in bytes
  int64_t status_ = 0;
  int64_t logprobs_ = 0;
  int64_t scores_ = 0;
};

}  // namespace sluice::worker
