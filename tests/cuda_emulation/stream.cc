// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/stream.h"

#include <utility>

#include "tests/cuda_emulation/settings.h"
#include "tests/cuda_emulation/simt.h"

namespace sluice::cuda_emulation {

WorkQueue::WorkQueue() : thread_([this] { Run(); }) {}

WorkQueue::~WorkQueue() {
  WaitFor(LastNumber());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

uint64_t WorkQueue::Enqueue(Work work) {
  const std::lock_guard<std::mutex> lock(mutex_);
  items_.push_back({std::move(work), std::chrono::steady_clock::now(), num_done_ == num_enqueued_});
  changed_.notify_all();
  return ++num_enqueued_;
}

uint64_t WorkQueue::LastNumber() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return num_enqueued_;
}

bool WorkQueue::IsDone(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return num_done_ >= number;
}

void WorkQueue::WaitFor(uint64_t number) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (wanted_ < number) wanted_ = number;
  changed_.notify_all();
  changed_.wait(lock, [&] { return num_done_ >= number; });
}

void WorkQueue::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !items_.empty(); });
    if (items_.empty()) return;
    const auto late = items_.front().since + TheSettings().lateness;
    changed_.wait_until(lock, late, [this] { return wanted_ > num_done_; });
    Work work = std::move(items_.front().work);
    const bool after_idle = items_.front().after_idle;
    items_.pop_front();
    lock.unlock();
    BeginWork(after_idle);
    work();
    work = nullptr;
    lock.lock();
    ++num_done_;
    changed_.notify_all();
  }
}

}  // namespace sluice::cuda_emulation
