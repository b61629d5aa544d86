// SPDX-License-Identifier: Apache-2.0
// StepWatchdog: decides when a step takes so long that the group must be taken for hung: longer
// than the larger of a floor and 20 times the median. The median is kept per token and scaled by
// the step's tokens, because a prefill chunk of 128 tokens rightly takes many times a decode step.
// Before any step has ended only a long first bound holds: cold weights come from the disk. The
// engine loop reports, a watching thread asks; thread safe.
#pragma once

#include <chrono>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "worker/base/clock.h"

namespace sluice::worker {

class StepWatchdog {
 public:
  struct Options {
    std::chrono::nanoseconds floor = std::chrono::seconds(5);
    std::chrono::nanoseconds first_bound = std::chrono::minutes(10);
    double median_factor = 20.0;
  };

  StepWatchdog(const Options& options, const Clock& clock) : options_(options), clock_(clock) {}

  void StepSubmitted(int num_tokens);
  // The oldest submitted step ended.
  void StepEnded();

  // How long the oldest step has made no progress, when that is beyond its bound.
  std::optional<std::chrono::nanoseconds> Overdue() const;

 private:
  struct Running {
    int num_tokens;
    Clock::TimePoint submitted;
  };
  std::chrono::nanoseconds Bound(int num_tokens) const;
  Clock::TimePoint Began(const Running& step) const;

  const Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::deque<Running> running_;
  Clock::TimePoint last_end_{};
  std::vector<double> ns_per_token_;  // of the last steps, a ring
  size_t ring_next_ = 0;
};

}  // namespace sluice::worker
