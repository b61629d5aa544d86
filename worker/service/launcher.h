// SPDX-License-Identifier: Apache-2.0
// The launcher: starts the ranks of one group on this host, tells where the leader listens, passes
// signals on, and starts the whole group again when one rank dies (backing off), for a group with a
// missing rank cannot be repaired. Ports that the system picked stay the same over restarts. It
// holds no model and no requests. Called by main on the main thread, before any other thread
// exists.
#pragma once

#include <string>
#include <vector>

#include "worker/service/wake_up.h"
#include "worker/service/worker_options.h"

namespace sluice::worker {

// arguments: the launcher's own (argv without argv[0]), which every rank gets too. Blocks until the
// group should not run any more; returns the exit code.
int RunLauncher(const WorkerOptions& options, const std::vector<std::string>& arguments,
                WakeUp& wake_up);

}  // namespace sluice::worker
