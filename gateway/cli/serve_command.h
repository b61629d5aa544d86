// SPDX-License-Identifier: Apache-2.0
// `sluice serve MODEL_DIR`: a worker group and a gateway on this host as child processes, found
// beside this binary. Their ports between each other are free ones, so several run side by side.
// Runs on the main thread.
#pragma once

#include <string>
#include <vector>

#include "gateway/cli/terminal.h"

namespace sluice::gateway {

// Serves until SIGINT or SIGTERM, then drains. Returns the process's exit status: 0 after a drain,
// 1 when a server could not start or died, 2 for an option or a model folder that is wrong.
// `bin_dir` holds sluice-worker and sluice-gateway.
int RunServe(const std::vector<std::string>& args, const Terminal& terminal,
             const std::string& bin_dir);

}  // namespace sluice::gateway
