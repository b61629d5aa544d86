// SPDX-License-Identifier: Apache-2.0
// `sluice bench`: a load generator. Runs on the main thread.
#pragma once

#include <string>
#include <vector>

#include "gateway/cli/terminal.h"

namespace sluice::gateway {

// `api_key` is sent as a bearer token unless --api-key gives another; `version` goes into the JSON.
// Returns the process's exit status: 0 when at least one request finished; 1 when none did, or the
// server cannot be reached; 2 for a wrong option; 130 after Ctrl-C.
int RunBench(const std::vector<std::string>& args, const Terminal& terminal,
             const std::string& api_key, const std::string& version);

}  // namespace sluice::gateway
