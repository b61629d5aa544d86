// SPDX-License-Identifier: Apache-2.0
// ExecutorFactory: makes what one rank computes with: its collectives, when its process opens or
// joins the group, and over them its executor. One implementation a device; Make is the only place
// that knows which there are. It must outlive the executor, and owns the collectives.
//
// One thread calls; Abort may come from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sluice/worker/v1/group.pb.h"
#include "worker/executor/executor.h"
#include "worker/service/served_model.h"
#include "worker/service/worker_options.h"

namespace sluice::worker {

// A line in the log for each tenth of a rank's weights: short for small models, alive for large
// ones.
std::function<void(int64_t done_bytes, int64_t total_bytes)> LogLoading(int rank);

class ExecutorFactory {
 public:
  // For the device that options ask for.
  static absl::StatusOr<std::unique_ptr<ExecutorFactory>> Make(const WorkerOptions& options);

  virtual ~ExecutorFactory() = default;

  // Rank 0, before anybody joins: opens the collectives, and says in the reply to every Join how
  // to meet there.
  virtual absl::Status OpenGroup(v1::JoinAccepted* accepted) = 0;
  // The other ranks, with what rank 0 has said. Does not wait for the peers.
  virtual absl::Status JoinGroup(const v1::JoinAccepted& accepted) = 0;

  // After OpenGroup or JoinGroup: loads the rank's shard, logging its progress; blocks for as long
  // as that takes, and as all ranks take to meet where the executor needs them.
  virtual absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const WorkerOptions& options,
                                                                 const ServedModel& model) = 0;

  // Makes this rank's collectives fail, running ones included, so that neither the executor nor
  // MakeExecutor waits for a peer any longer: what every survivor of a broken group does before it
  // exits. Returns at once.
  virtual void Abort() = 0;
};

}  // namespace sluice::worker
