// SPDX-License-Identifier: Apache-2.0
// RequestMetrics: what the servers tell about requests, in plain values. gateway/metrics.cc turns
// it into Prometheus; tests count by hand. Every method is thread safe and quick.
#pragma once

#include <string>
#include <string_view>

#include "gateway/openai/delta.h"

namespace sluice::gateway {

struct RequestSummary {
  std::string_view route;    // "chat_completions", "grpc_chat", ...: a small fixed set
  std::string_view outcome;  // "ok", or the status code in lower case
  double seconds = 0.0;      // from the request's arrival to its end
  ResponseUsage usage;
};

class RequestMetrics {
 public:
  virtual ~RequestMetrics() = default;
  virtual void OnStart(std::string_view route) = 0;
  // From the request's arrival to the first delta.
  virtual void OnFirstToken(std::string_view route, double seconds) = 0;
  // Between two deltas of one choice, divided by the ids that the later one brought.
  virtual void OnInterToken(double seconds, int tokens) = 0;
  virtual void OnEnd(const RequestSummary& summary) = 0;
};

}  // namespace sluice::gateway
