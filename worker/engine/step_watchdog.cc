// SPDX-License-Identifier: Apache-2.0
#include "worker/engine/step_watchdog.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace sluice::worker {
namespace {
constexpr size_t kHistory = 64;
}  // namespace

void StepWatchdog::StepSubmitted(int num_tokens) {
  const std::lock_guard lock(mutex_);
  running_.push_back({std::max(num_tokens, 1), clock_.Now()});
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
  histories_[SizeOf(step.num_tokens)].Add(
      static_cast<double>(std::chrono::nanoseconds(now - Began(step)).count()) / step.num_tokens);
  last_end_ = now;
  any_ended_ = true;
}

std::optional<std::chrono::nanoseconds> StepWatchdog::Overdue() const {
  const std::lock_guard lock(mutex_);
  if (running_.empty()) return std::nullopt;
  const std::chrono::nanoseconds waited = clock_.Now() - Began(running_.front());
  if (waited <= Bound(running_.front().num_tokens)) return std::nullopt;
  return waited;
}

void StepWatchdog::History::Add(double value) {
  if (ns_per_token.size() < kHistory) {
    ns_per_token.push_back(value);
    return;
  }
  ns_per_token[next] = value;
  next = (next + 1) % kHistory;
}

double StepWatchdog::History::Median() const {
  std::vector<double> sorted = ns_per_token;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

size_t StepWatchdog::SizeOf(int num_tokens) {
  const auto width = static_cast<size_t>(std::bit_width(static_cast<unsigned>(num_tokens)));
  return std::min(width, std::tuple_size_v<decltype(histories_)>) - 1;
}

double StepWatchdog::ExpectedNs(int num_tokens) const {
  const size_t own = SizeOf(num_tokens);
  for (size_t size = own + 1; size-- > 0;) {
    const History& history = histories_[size];
    if (!history.ns_per_token.empty()) return history.Median() * num_tokens;
  }
  size_t larger = own + 1;
  while (histories_[larger].ns_per_token.empty()) ++larger;
  return histories_[larger].Median() * static_cast<double>(size_t{1} << larger);
}

std::chrono::nanoseconds StepWatchdog::Bound(int num_tokens) const {
  if (!any_ended_) return options_.first_bound;
  const auto scaled = std::chrono::nanoseconds(
      static_cast<int64_t>(ExpectedNs(num_tokens) * options_.median_factor));
  return std::max(options_.floor, scaled);
}

}  // namespace sluice::worker
