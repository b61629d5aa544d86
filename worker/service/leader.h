// SPDX-License-Identifier: Apache-2.0
// The leader, rank 0: listens, loads its shard while the other ranks join and load theirs, warms
// up, serves, and ends: by SIGTERM (drains, exit 0) or because a rank died, hung or failed (running
// requests get UNAVAILABLE, exit 1; nothing is repaired in place, the launcher starts a new group).
// Called by main on the main thread.
#pragma once

#include <string>

#include "worker/service/served_model.h"
#include "worker/service/wake_up.h"
#include "worker/service/worker_metrics.h"
#include "worker/service/worker_options.h"

namespace sluice::worker {

// Blocks until the process should exit; returns the exit code. metrics_address: printed with the
// gRPC address.
int RunLeader(const WorkerOptions& options, const ServedModel& model, WorkerMetrics& metrics,
              const std::string& metrics_address, WakeUp& wake_up);

}  // namespace sluice::worker
