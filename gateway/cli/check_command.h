// SPDX-License-Identifier: Apache-2.0
// `sluice check MODEL_DIR`: validates a model folder and a configuration without serving. Runs on
// the main thread.
#pragma once

#include <string>
#include <vector>

#include "gateway/cli/terminal.h"

namespace sluice::gateway {

// Returns the process's exit status: 0 when both servers would serve the folder, 2 when one refuses
// the folder or an option (it says why), 1 when a check could not run to its end. `bin_dir` holds
// sluice-worker and sluice-gateway.
int RunCheck(const std::vector<std::string>& args, const Terminal& terminal,
             const std::string& bin_dir);

}  // namespace sluice::gateway
