// SPDX-License-Identifier: Apache-2.0
// The options of `sluice bench`. Pure functions, any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/cli/bench/http_target.h"
#include "gateway/cli/bench/measurement.h"
#include "gateway/cli/bench/workload.h"
#include "gateway/cli/http_client.h"

namespace sluice::gateway {

struct BenchOptions {
  // What to measure.
  HttpUrl url;
  HttpEndpoint endpoint = HttpEndpoint::kChat;
  std::string grpc_address;  // host:port; given, url and endpoint mean nothing
  GenerationSettings generation;
  // The load.
  int concurrency = 1;
  std::optional<double> requests_per_second;  // given: an open loop; may be infinite
  std::optional<uint64_t> num_requests;
  std::optional<std::chrono::duration<double>> duration;
  std::chrono::duration<double> request_timeout{600};
  int warmup = 1;
  // What is asked.
  std::string prompts_file;  // empty: random words
  WorkloadOptions workload;
  // The report.
  ServiceObjectives objectives;
  std::string json_file;  // "-": standard output; empty: none
  bool quiet = false;
  bool help = false;
  std::vector<std::pair<std::string, std::string>> given;  // as typed; never the API key
};

// `api_key` is the environment's, for when --api-key is not given. INVALID_ARGUMENT names the
// option.
absl::StatusOr<BenchOptions> ParseBenchOptions(const std::vector<std::string>& args,
                                               const std::string& api_key);
std::string BenchHelp();

}  // namespace sluice::gateway
