// SPDX-License-Identifier: Apache-2.0
// RequestTrace: one request's times and counts, from its arrival to the one log line and the one
// metrics call at its end. Owned by whatever answers the request. Methods are called one at a time;
// End may come from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <limits>
#include <map>
#include <string_view>

#include "absl/status/status.h"
#include "gateway/openai/delta.h"
#include "gateway/server/request_identity.h"
#include "gateway/server/request_metrics.h"

namespace sluice::gateway {

class RequestTrace {
 public:
  // `route` is a literal. `metrics` and `running` outlive the trace; `running` counts traces that
  // have not ended.
  RequestTrace(std::string_view route, RequestIdentity identity, RequestMetrics* metrics,
               std::atomic<int>* running);
  // A trace that was dropped ended as CANCELLED.
  ~RequestTrace();
  RequestTrace(const RequestTrace&) = delete;
  RequestTrace& operator=(const RequestTrace&) = delete;

  const RequestIdentity& identity() const { return identity_; }

  void OnDelta(const ChoiceDelta& delta);
  // The first call counts.
  void End(const absl::Status& status, const ResponseUsage& usage = {});

 private:
  using Clock = std::chrono::steady_clock;

  const std::string_view route_;
  const RequestIdentity identity_;
  RequestMetrics* const metrics_;
  std::atomic<int>* const running_;
  const Clock::time_point start_ = Clock::now();
  std::atomic<bool> ended_{false};

  // Deltas come one at a time.
  struct Progress {
    Clock::time_point time;
    int completion_tokens = 0;
  };
  std::map<int, Progress> progress_;                                       // by choice
  double first_token_seconds_ = std::numeric_limits<double>::quiet_NaN();  // until there is one
};

// "ok", "invalid_argument", "cancelled", ...
std::string_view OutcomeName(absl::StatusCode code);

}  // namespace sluice::gateway
