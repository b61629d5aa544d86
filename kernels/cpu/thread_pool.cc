// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_pool.h"

#include <chrono>

namespace sluice::kernels::cpu {
namespace {

// Long enough to bridge the serial code between two kernels of a step, short enough that idle ranks
// leave their cores to others.
constexpr std::chrono::microseconds kSpin{20};
constexpr int kPausesPerClockRead = 32;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns once value differs from old: spins first, then sleeps on the futex.
int AwaitChange(const std::atomic<int>& value, int old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      const int now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  workers_.reserve(num_threads > 1 ? num_threads - 1 : 0);
  for (int i = 1; i < num_threads; ++i) workers_.emplace_back([this] { WorkerLoop(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  job_.fetch_add(1, std::memory_order_release);  // orders stop_ before the wake-up
  job_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(int num_tasks, TaskFn fn, void* context) {
  fn_ = fn;
  context_ = context;
  num_tasks_ = num_tasks;
  finished_.store(0, std::memory_order_relaxed);
  unclaimed_.store(num_tasks, std::memory_order_release);
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  RunTasks();
  int finished = finished_.load(std::memory_order_acquire);
  while (finished != num_tasks) finished = AwaitChange(finished_, finished);
}

void ThreadPool::RunTasks() {
  int left = unclaimed_.load(std::memory_order_relaxed);
  while (left > 0) {
    // A claim that succeeds is a claim on the current job, whichever job `left` was read from.
    if (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
      continue;
    }
    const int num_tasks = num_tasks_;
    fn_(context_, num_tasks - left);
    if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_tasks) finished_.notify_one();
    left = unclaimed_.load(std::memory_order_relaxed);
  }
}

void ThreadPool::WorkerLoop() {
  int seen = 0;
  while (true) {
    seen = AwaitChange(job_, seen);
    if (stop_.load(std::memory_order_relaxed)) return;
    RunTasks();
  }
}

}  // namespace sluice::kernels::cpu
