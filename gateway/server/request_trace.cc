// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/request_trace.h"

#include <cmath>
#include <string>
#include <utility>

#include "gateway/server/log.h"

namespace sluice::gateway {
namespace {

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string_view OutcomeName(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return "ok";
    case absl::StatusCode::kCancelled:
      return "cancelled";
    case absl::StatusCode::kInvalidArgument:
      return "invalid_argument";
    case absl::StatusCode::kDeadlineExceeded:
      return "deadline_exceeded";
    case absl::StatusCode::kNotFound:
      return "not_found";
    case absl::StatusCode::kResourceExhausted:
      return "resource_exhausted";
    case absl::StatusCode::kUnavailable:
      return "unavailable";
    case absl::StatusCode::kUnauthenticated:
      return "unauthenticated";
    case absl::StatusCode::kUnimplemented:
      return "unimplemented";
    default:
      return "internal";
  }
}

RequestTrace::RequestTrace(std::string_view route, RequestIdentity identity,
                           RequestMetrics* metrics, std::atomic<int>* running)
    : route_(route), identity_(std::move(identity)), metrics_(metrics), running_(running) {
  ++*running_;
  metrics_->OnStart(route_);
}

RequestTrace::~RequestTrace() { End(absl::CancelledError("the request was dropped")); }

void RequestTrace::OnDelta(const ChoiceDelta& delta) {
  if (delta.completion_tokens == 0 && delta.end == ChoiceEnd::kNone) return;  // of the prompt
  const Clock::time_point now = Clock::now();
  if (std::isnan(first_token_seconds_)) {
    first_token_seconds_ = Seconds(now - start_);
    metrics_->OnFirstToken(route_, first_token_seconds_);
  }
  const auto [entry, first] =
      progress_.try_emplace(delta.choice, Progress{now, delta.completion_tokens});
  Progress& progress = entry->second;
  const int tokens = delta.completion_tokens - progress.completion_tokens;
  if (first || tokens <= 0) return;
  metrics_->OnInterToken(Seconds(now - progress.time) / tokens, tokens);
  progress = {now, delta.completion_tokens};
}

void RequestTrace::End(const absl::Status& status, const ResponseUsage& usage) {
  if (ended_.exchange(true)) return;
  RequestSummary summary;
  summary.route = route_;
  summary.outcome = OutcomeName(status.code());
  summary.seconds = Seconds(Clock::now() - start_);
  summary.usage = usage;
  metrics_->OnEnd(summary);
  const bool our_fault = summary.outcome == "internal" || summary.outcome == "unavailable";
  const std::string message(status.message());
  LogEvent(our_fault ? LogLevel::kWarning : LogLevel::kInfo, "request ended",
           {{"route", route_},
            {"request_id", std::string_view(identity_.unique_id)},
            {"traceparent", std::string_view(identity_.traceparent)},
            {"outcome", summary.outcome},
            {"error", std::string_view(our_fault ? message : std::string())},
            {"seconds", summary.seconds},
            {"first_token_seconds", first_token_seconds_},
            {"prompt_tokens", int64_t{usage.prompt_tokens}},
            {"completion_tokens", int64_t{usage.completion_tokens}}});
  // Last: whoever waits for it to reach zero may tear everything down.
  --*running_;
}

}  // namespace sluice::gateway
