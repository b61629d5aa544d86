// SPDX-License-Identifier: Apache-2.0
// RowSampler: turns rows of logits into samples on rank 0, each row by its own parameters and
// state, in parallel over rows. Used by the step thread.
#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/sampling/sampling.h"
#include "kernels/cpu/thread_pool.h"
#include "worker/base/ids.h"
#include "worker/executor/cpu/row_table.h"
#include "worker/executor/executor.h"

namespace sluice::worker {

class RowSampler {
 public:
  // num_token_ids: ids from here on are padding and masked. pool must outlive the sampler.
  RowSampler(int vocab_size, int num_token_ids, kernels::cpu::ThreadPool* pool);

  // logits [rows.size()][vocab_size]. samples gets one entry per row, in order. INTERNAL when a row
  // came without sampling parameters.
  absl::Status Sample(std::span<const float> logits, std::span<const RowId> rows,
                      const RowTable& table, std::vector<RowSample>* samples);

 private:
  RowSample SampleRow(std::span<const float> logits, RowId row, const RowTable::Row& state,
                      kernels::cpu::Sampler* sampler) const;

  const int vocab_size_;
  const int num_token_ids_;
  kernels::cpu::ThreadPool& pool_;
  std::vector<kernels::cpu::Sampler> samplers_;  // one a thread: they own scratch
};

}  // namespace sluice::worker
