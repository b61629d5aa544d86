// SPDX-License-Identifier: Apache-2.0
// `sluice chat`: a terminal client of any OpenAI-compatible endpoint. Runs on the main thread.
#pragma once

#include <string>
#include <vector>

#include "gateway/cli/terminal.h"

namespace sluice::gateway {

// `api_key` is sent as a bearer token unless --api-key gives another. Returns the process's exit
// status: 0; 1 when the server cannot be reached or refuses; 2 for a wrong option; 130 when a
// single answer was interrupted.
int RunChat(const std::vector<std::string>& args, const Terminal& terminal,
            const std::string& api_key);

}  // namespace sluice::gateway
