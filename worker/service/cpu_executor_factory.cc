// SPDX-License-Identifier: Apache-2.0
#include "worker/service/cpu_executor_factory.h"

#include <utility>

#include "proto/wire/status_macros.h"
#include "worker/executor/cpu/cpu_executor.h"
#include "worker/parallel/shared_memory_communicator.h"

namespace sluice::worker {

absl::Status CpuExecutorFactory::OpenGroup(v1::JoinAccepted* accepted) {
  if (tp_size_ == 1) {
    communicator_ = std::make_unique<SingleRankCommunicator>();
    return absl::OkStatus();
  }
  // No timeout of its own: the leader's step watchdog and the broken stream abort a collective.
  SLUICE_ASSIGN_OR_RETURN(auto communicator, SharedMemoryCommunicator::Create(tp_size_, {}));
  accepted->set_collective_name(communicator->segment_name());
  communicator_ = std::move(communicator);
  return absl::OkStatus();
}

absl::Status CpuExecutorFactory::JoinGroup(const v1::JoinAccepted& accepted) {
  SLUICE_ASSIGN_OR_RETURN(communicator_, SharedMemoryCommunicator::Open(accepted.collective_name(),
                                                                        rank_, tp_size_, {}));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Executor>> CpuExecutorFactory::MakeExecutor(
    const WorkerOptions& options, const ServedModel& model) {
  CpuExecutorOptions executor;
  executor.num_pages = model.num_pages;
  executor.max_rows = options.max_num_seqs;
  executor.max_batched_tokens = options.max_prefill_tokens;
  executor.num_token_ids = model.limits.vocab_size;
  executor.processed_logprobs = options.processed_logprobs;
  executor.threads = options.threads;
  executor.on_progress = LogLoading(rank_);
  SLUICE_ASSIGN_OR_RETURN(
      auto loaded, CpuExecutor::Create(*model.folder, std::move(executor), communicator_.get()));
  return std::unique_ptr<Executor>(std::move(loaded));
}

}  // namespace sluice::worker
