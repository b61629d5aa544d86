// SPDX-License-Identifier: Apache-2.0
#include "worker/engine/step_watchdog.h"

#include <algorithm>

namespace sluice::worker {
namespace {
constexpr size_t kHistory = 128;
}  // namespace

void StepWatchdog::StepSubmitted(int num_tokens) {
  const std::lock_guard lock(mutex_);
  running_.push_back({num_tokens, clock_.Now()});
}

// Steps run one after the other: one that was submitted early begins when the step before it ends.
Clock::TimePoint StepWatchdog::Began(const Running& step) const {
  return std::max(step.submitted, last_end_);
}

void StepWatchdog::StepEnded() {
  const std::lock_guard lock(mutex_);
  const Running step = running_.front();
  running_.pop_front();
  const Clock::TimePoint now = clock_.Now();
  const double ns_per_token =
      static_cast<double>(std::chrono::nanoseconds(now - Began(step)).count()) / step.num_tokens;
  last_end_ = now;
  if (ns_per_token_.size() < kHistory) {
    ns_per_token_.push_back(ns_per_token);
  } else {
    ns_per_token_[ring_next_] = ns_per_token;
    ring_next_ = (ring_next_ + 1) % kHistory;
  }
}

std::optional<std::chrono::nanoseconds> StepWatchdog::Overdue() const {
  const std::lock_guard lock(mutex_);
  if (running_.empty()) return std::nullopt;
  const std::chrono::nanoseconds waited = clock_.Now() - Began(running_.front());
  if (waited <= Bound(running_.front().num_tokens)) return std::nullopt;
  return waited;
}

std::chrono::nanoseconds StepWatchdog::Bound(int num_tokens) const {
  if (ns_per_token_.empty()) return options_.first_bound;
  std::vector<double> sorted = ns_per_token_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const auto scaled =
      std::chrono::nanoseconds(static_cast<int64_t>(*middle * options_.median_factor * num_tokens));
  return std::max(options_.floor, scaled);
}

}  // namespace sluice::worker
