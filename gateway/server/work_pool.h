// SPDX-License-Identifier: Apache-2.0
// WorkPool: a few threads for what may take milliseconds (parsing a large body, rendering,
// tokenizing), so that I/O threads never do it, with a bound on what waits. Owned by main; Post is
// thread safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sluice::gateway {

class WorkPool {
 public:
  WorkPool(int num_threads, size_t max_waiting);
  // Runs what waits, then joins.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // False, without having kept the task, when max_waiting tasks wait already.
  bool Post(std::function<void()> task);

 private:
  void Run();

  const size_t max_waiting_;
  std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace sluice::gateway
