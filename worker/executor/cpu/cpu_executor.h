// SPDX-License-Identifier: Apache-2.0
// CpuExecutor: the Executor that runs on the CPU, in float32. It owns one rank's shard of the
// weights, its KV pages and its row table; one thread of its own runs the queued steps, with a pool
// of kernel threads below it. Rank 0 samples and broadcasts the ids, so that every rank knows what
// "the token sampled last" is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/executor/executor.h"
#include "worker/model/model_folder.h"
#include "worker/parallel/communicator.h"

namespace sluice::worker {

struct CpuExecutorOptions {
  int num_pages = 0;           // KV pages, the scratch page included; at least 2
  int max_rows = 0;            // RowIds are below this
  int max_batched_tokens = 0;  // most tokens in one step
  // Ids the tokenizer knows: rows of the embedding beyond them are padding and never sampled. 0:
  // vocab_size.
  int num_token_ids = 0;
  bool processed_logprobs = false;  // of what was drawn from; else of the raw logits
  int threads =
      0;  // of this rank's kernels; 0: the machine's hardware threads over world_size, at least 1
  // Called from the creating thread while weights load, with rising done_bytes; the last call has
  // both equal.
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_progress = {};
};

class CpuExecutor final : public Executor {
 public:
  // Loads this rank's shard; blocks for as long as that takes. communicator: this rank's, already
  // joined, with world_size() == folder.tp_size(); it must outlive the executor. The folder is
  // needed during the call only.
  static absl::StatusOr<std::unique_ptr<CpuExecutor>> Create(const ModelFolder& folder,
                                                             CpuExecutorOptions options,
                                                             Communicator* communicator);

  // REQUIRES: every submitted step was collected, or the communicator was aborted (else it waits
  // for the peers).
  ~CpuExecutor() override;
  CpuExecutor(const CpuExecutor&) = delete;
  CpuExecutor& operator=(const CpuExecutor&) = delete;

  int num_pages() const override;
  absl::Status Submit(StepPlan plan) override;
  absl::StatusOr<StepResult> Collect(StepId step) override;

 private:
  class Impl;
  explicit CpuExecutor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::worker
