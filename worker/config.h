// SPDX-License-Identifier: Apache-2.0
// The worker's flags: the only place that declares and reads them. Each may also stand in the YAML
// file of
// --config; the command line wins. Called once by main.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/service/log.h"
#include "worker/service/worker_options.h"

namespace sluice::worker {

struct WorkerConfig {
  WorkerOptions options;
  LogFormat log_format = LogFormat::kText;
  bool check = false;  // validate and print a summary instead of serving
  bool help = false;
  bool version = false;
  // What the launcher hands to its ranks: the command line as it was given.
  std::vector<std::string> arguments;
};

// INVALID_ARGUMENT in one sentence that names the flag and what it takes.
absl::StatusOr<WorkerConfig> ParseConfig(const std::vector<std::string>& arguments);

// What --help prints: every flag with its unit and default.
std::string ConfigHelp();

}  // namespace sluice::worker
