// SPDX-License-Identifier: Apache-2.0
// A measurement as people read it and as machines do. docs/operations.md describes the JSON's
// fields. Pure functions, any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gateway/cli/bench/measurement.h"

namespace sluice::gateway {

struct BenchDescription {
  std::string target;    // http://host:port or grpc://host:port
  std::string endpoint;  // chat, completions or grpc
  std::string model;
  std::string load;      // one sentence: closed or open loop, and how much
  std::string workload;  // one sentence: what was asked
  std::string lengths;   // how prompt lengths were made
  std::string started;   // UTC, ISO 8601
  std::string version;   // of sluice
  bool interrupted = false;
  // What the load generator itself took, in all its threads, while it measured.
  double client_cpu_s = 0;
  double client_wall_s = 0;
  // The options as given, by name.
  std::vector<std::pair<std::string, std::string>> options;
};

std::string ReportTable(const BenchDescription& description, const Measurement& measured);
// One object, indented, with a newline at its end.
std::string ReportJson(const BenchDescription& description, const Measurement& measured);

}  // namespace sluice::gateway
