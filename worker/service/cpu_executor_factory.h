// SPDX-License-Identifier: Apache-2.0
// CpuExecutorFactory: ranks on one host's CPU, which meet in shared memory. Threads as
// ExecutorFactory says.
#pragma once

#include <memory>

#include "worker/parallel/communicator.h"
#include "worker/service/executor_factory.h"

namespace sluice::worker {

class CpuExecutorFactory final : public ExecutorFactory {
 public:
  // tp_size and rank as options say.
  explicit CpuExecutorFactory(const WorkerOptions& options)
      : rank_(options.rank), tp_size_(options.tp_size) {}

  absl::Status OpenGroup(v1::JoinAccepted* accepted) override;
  absl::Status JoinGroup(const v1::JoinAccepted& accepted) override;
  absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const WorkerOptions& options,
                                                         const ServedModel& model) override;
  void Abort() override { communicator_->Abort(); }

 private:
  const int rank_;
  const int tp_size_;
  std::unique_ptr<Communicator> communicator_;  // set by OpenGroup or JoinGroup
};

}  // namespace sluice::worker
