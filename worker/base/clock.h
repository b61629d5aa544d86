// SPDX-License-Identifier: Apache-2.0
// The worker's only source of time, injected so that schedulers and watchdogs are tested on
// simulated time.
#pragma once

#include <chrono>

namespace sluice::worker {

class Clock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  virtual ~Clock() = default;
  // Thread safe.
  virtual TimePoint Now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace sluice::worker
