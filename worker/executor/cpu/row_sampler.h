// SPDX-License-Identifier: Apache-2.0
// RowSampler: turns rows of logits into samples on rank 0, each row by its own parameters and
// state, in parallel over rows. A row with drafts samples one position after the other, each with
// the state that the samples before it leave, and stops at the first that differs from its draft:
// so it draws what it would have drawn one step at a time. Used by the step thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/sampling/sampling.h"
#include "kernels/cpu/thread_pool.h"
#include "worker/base/ids.h"
#include "worker/executor/cpu/row_outputs.h"
#include "worker/executor/executor.h"
#include "worker/executor/row_table.h"

namespace sluice::worker {

class RowSampler {
 public:
  // num_token_ids: ids from here on are padding and masked. processed_logprobs: log probabilities
  // are of what was drawn from, not of the raw logits. pool must outlive the sampler.
  RowSampler(int vocab_size, int num_token_ids, bool processed_logprobs,
             kernels::cpu::ThreadPool* pool);

  // logits [batch.logits_of.size()][vocab_size]. samples gets one entry per sampled row, in order;
  // the tokens are appended to the rows of outputs. INTERNAL when a row came without sampling
  // parameters.
  absl::Status Sample(std::span<const float> logits, const StepBatch& batch, RowOutputs* outputs,
                      std::vector<RowSample>* samples);

 private:
  RowSample SampleRow(std::span<const float> logits, const StepBatch::SampledRow& row,
                      RowOutputs* outputs, kernels::cpu::Sampler* sampler) const;
  // Nothing: the logits are bad.
  std::optional<SampledToken> SampleToken(std::span<const float> logits,
                                          const RowOutputs::Row& state,
                                          kernels::cpu::Sampler* sampler) const;

  const int vocab_size_;
  const int num_token_ids_;
  const bool processed_logprobs_;
  kernels::cpu::ThreadPool& pool_;
  std::vector<kernels::cpu::Sampler> samplers_;  // one a thread: they own scratch
};

}  // namespace sluice::worker
