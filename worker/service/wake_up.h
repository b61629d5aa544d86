// SPDX-License-Identifier: Apache-2.0
// WakeUp: what a process's main thread sleeps on: signals (SIGTERM, SIGINT and, where wanted,
// SIGCHLD) and calls of Notify from other threads. The signals are blocked in the constructing
// thread, and so in every thread it starts later: construct it first. One per process.
#pragma once

#include <chrono>
#include <optional>

namespace sluice::worker {

class WakeUp {
 public:
  explicit WakeUp(bool with_children = false);
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;

  // A signal's number, 0 for Notify, nothing when the time is up. extra_fd, when not below 0:
  // returns 0 as well once it can be read.
  std::optional<int> Wait(std::chrono::milliseconds timeout, int extra_fd = -1);

  // Thread safe.
  void Notify();

 private:
  int signal_fd_;
  int event_fd_;
};

}  // namespace sluice::worker
