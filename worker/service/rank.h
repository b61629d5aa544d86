// SPDX-License-Identifier: Apache-2.0
// A rank above 0: joins the leader, loads its shard, and executes the plans it is sent. It holds no
// policy and keeps no requests. It ends well when the leader says Stop, otherwise with a failure:
// when the leader is gone, or a step failed. SIGTERM only bounds its life (the leader drains
// first). Called by main on the main thread.
#pragma once

#include "worker/service/served_model.h"
#include "worker/service/wake_up.h"
#include "worker/service/worker_metrics.h"
#include "worker/service/worker_options.h"

namespace sluice::worker {

// Blocks until the process should exit; returns the exit code.
int RunRank(const WorkerOptions& options, const ServedModel& model, WorkerMetrics& metrics,
            WakeUp& wake_up);

}  // namespace sluice::worker
