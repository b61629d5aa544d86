// SPDX-License-Identifier: Apache-2.0
// Makes what a rank computes with: its communicator and its executor. The only place that knows
// which executors and communicators there are.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/executor/executor.h"
#include "worker/parallel/communicator.h"
#include "worker/service/served_model.h"
#include "worker/service/worker_options.h"

namespace sluice::worker {

struct LeaderCommunicator {
  std::unique_ptr<Communicator> communicator;
  std::string name;  // for MakeRankCommunicator; empty for a group of one
};

absl::StatusOr<LeaderCommunicator> MakeLeaderCommunicator(const WorkerOptions& options);
absl::StatusOr<std::unique_ptr<Communicator>> MakeRankCommunicator(const WorkerOptions& options,
                                                                   const std::string& name);

// Loads the rank's shard, logging its progress; blocks for as long as that takes.
absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const WorkerOptions& options,
                                                       const ServedModel& model, int rank,
                                                       Communicator* communicator);

}  // namespace sluice::worker
