// SPDX-License-Identifier: Apache-2.0
// GatewayConfig: everything that can be set, from flags and the YAML file of --config, checked
// once. Read by main only; parts get narrow option structs.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/backend/worker_addresses.h"
#include "gateway/server/log.h"
#include "gateway/session/text_engine.h"

namespace sluice::gateway {

struct GatewayConfig {
  std::string model_dir;
  WorkerAddresses workers;
  std::vector<std::string> served_model_names;
  SamplingDefaults sampling_defaults = SamplingDefaults::kModel;
  bool trust_user_control_tokens = false;

  std::string listen;
  int http_port = 0;
  int grpc_port = 0;
  int metrics_port = 0;
  int http_threads = 0;
  int work_threads = 0;
  int max_connections = 0;
  size_t max_body_bytes = 0;
  size_t max_unsent_bytes = 0;
  std::string api_keys_file;  // empty: everyone may ask
  std::chrono::milliseconds drain_timeout{0};

  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
  bool check = false;  // look at the model folder and the configuration, then exit
};

// INVALID_ARGUMENT naming the flag or the file's key. Ends the process for an unknown flag on the
// command line, as absl does.
absl::StatusOr<GatewayConfig> ParseConfig(int argc, char** argv);

// Whether --help or --version is among the arguments; ShowHelp and ShowVersion print to standard
// output.
bool WantsHelp(int argc, char** argv);
bool WantsVersion(int argc, char** argv);
void ShowHelp();

}  // namespace sluice::gateway
