// SPDX-License-Identifier: Apache-2.0
// StepWatchdog: decides when a step takes so long that the group must be taken for hung: longer
// than the larger of a floor and 20 times the median of steps like it. A prefill chunk rightly
// takes many times a decode step, but not as many times as it has tokens where the device reads
// weights once for all of them; so each power of two of tokens has a median of its own, kept per
// token. A size that has not been seen is expected to take what the next smaller one's takes a
// token; where there is none, as long as the next larger one. Before any step has ended only a long
// first bound holds: cold weights come from the disk. The engine loop reports, a watching thread
// asks; thread safe.
#pragma once

#include <array>
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
  // The durations of the last steps of one size, a ring.
  struct History {
    std::vector<double> ns_per_token;
    size_t next = 0;

    void Add(double value);
    double Median() const;  // REQUIRES: not empty
  };

  static size_t SizeOf(int num_tokens);
  double ExpectedNs(int num_tokens) const;  // REQUIRES: a step has ended
  std::chrono::nanoseconds Bound(int num_tokens) const;
  Clock::TimePoint Began(const Running& step) const;

  const Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::deque<Running> running_;
  Clock::TimePoint last_end_{};
  bool any_ended_ = false;
  std::array<History, 20> histories_;  // by SizeOf
};

}  // namespace sluice::worker
