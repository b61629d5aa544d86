// SPDX-License-Identifier: Apache-2.0
// The options of `sluice serve` and `sluice check`, and which of the two servers each is passed on
// to. Any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/cli/command_line.h"

namespace sluice::gateway {

struct ServeOptions {
  struct Port {
    int number = 0;  // 0: any free one
    bool given = false;
  };
  std::string model;  // as messages call it: the folder, or where its name comes from
  std::vector<std::string> worker_args;   // without --listen, --grpc-port and --metrics-port
  std::vector<std::string> gateway_args;  // without --workers and the ports
  // Not given: the well-known port, and any free one where that is taken (HTTP: refused instead,
  // since clients are told that port).
  Port http{8000};
  Port grpc{50051};
  Port metrics{9090};
  std::string config_file;  // which may hold ports of its own; empty: none
  bool help = false;
};

// INVALID_ARGUMENT names the option, or says that neither a folder nor a file names the model.
absl::StatusOr<ServeOptions> ParseServeOptions(const std::vector<std::string>& args);
std::string ServeHelp();

// INVALID_ARGUMENT when the configuration file cannot be opened: said once here, rather than by
// each server.
absl::Status CheckConfigFile(const ServeOptions& options);

// `sluice check` takes the same options, so that a serve line can be checked by changing one word.
std::string CheckHelp();

}  // namespace sluice::gateway
