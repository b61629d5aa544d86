// SPDX-License-Identifier: Apache-2.0
// CUstream_st: a queue of work and the thread that does it, in order and as late as it may (see
// Settings::lateness), so that a host buffer which is used again too early shows. Events and graphs
// are what the runtime's handles point to.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace sluice::cuda_emulation {

using Work = std::function<void()>;

// Any thread may call.
class WorkQueue {
 public:
  WorkQueue();
  ~WorkQueue();  // waits for everything
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // Returns the work's number, from 1 on.
  uint64_t Enqueue(Work work);
  uint64_t LastNumber();
  bool IsDone(uint64_t number);
  // Makes the thread hurry.
  void WaitFor(uint64_t number);

 private:
  struct Item {
    Work work;
    std::chrono::steady_clock::time_point since;
    bool after_idle;  // all before it had ended
  };

  void Run();

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Item> items_;
  uint64_t num_enqueued_ = 0, num_done_ = 0, wanted_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

// Up to one number of a queue.
struct Mark {
  std::shared_ptr<WorkQueue> queue;  // null: nothing to wait for
  uint64_t number = 0;

  bool IsDone() const { return queue == nullptr || queue->IsDone(number); }
  void Wait() const {
    if (queue != nullptr) queue->WaitFor(number);
  }
};

}  // namespace sluice::cuda_emulation

// Captured work, in the order of the calls.
struct CUgraph_st {
  std::vector<sluice::cuda_emulation::Work> work;
  bool invalidated = false;
  int mode = 0;  // cudaStreamCaptureMode
};

struct CUgraphExec_st {
  std::shared_ptr<const std::vector<sluice::cuda_emulation::Work>> work;
};

struct CUstream_st {
  const std::shared_ptr<sluice::cuda_emulation::WorkQueue> queue =
      std::make_shared<sluice::cuda_emulation::WorkQueue>();
  const bool waits_for_default_stream;
  const int device;
  CUgraph_st* capture = nullptr;
  bool began_capture = false;
};

struct CUevent_st {
  sluice::cuda_emulation::Mark mark;
  CUgraph_st* capture = nullptr;  // where it was last recorded, if that was in a capture
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
};
