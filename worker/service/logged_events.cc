// SPDX-License-Identifier: Apache-2.0
#include "worker/service/logged_events.h"

#include <spdlog/spdlog.h>

#include <string>

#include "worker/service/log.h"

namespace sluice::worker {
namespace {

double Milliseconds(const std::optional<std::chrono::nanoseconds>& time) {
  return time ? static_cast<double>(time->count()) / 1e6 : -1.0;
}

}  // namespace

void LoggedEvents::OnRequestDone(const RequestStats& stats) {
  if (quiet_) return;
  const ScopedRequestId scope(stats.id);
  std::string outcome = stats.status.ToString();
  if (stats.status.ok() && stats.cancelled) outcome = stats.deadline ? "deadline" : "cancelled";
  spdlog::info(
      "request ended: {} prompt={} output={} queue_ms={:.1f} ttft_ms={:.1f} total_ms={:.1f}",
      outcome, stats.prompt_tokens, stats.completion_tokens, Milliseconds(stats.queue_time),
      Milliseconds(stats.first_token), Milliseconds(stats.duration));
  next_.OnRequestDone(stats);
}

}  // namespace sluice::worker
