// SPDX-License-Identifier: Apache-2.0
// ThreadPool: the persistent threads behind one rank's CPU kernels. A kernel cuts its outputs into
// tasks and calls ParallelFor; which thread runs which task never changes a result, because no
// kernel reduces across tasks. Idle threads spin for some microseconds (the next kernel of a step
// is near), then sleep, since ranks may outnumber cores.
//
// One pool per rank, owned by its executor; one thread at a time calls ParallelFor, and never from
// a task.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace sluice::kernels::cpu {

class ThreadPool {
 public:
  // num_threads counts the caller of ParallelFor: 1 starts no thread and runs everything inline.
  // REQUIRES: num_threads >= 1.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs fn(0) ... fn(num_tasks - 1), each once, in any order and on any thread; returns when all
  // have. What the tasks wrote is visible to the caller. fn must not throw.
  template <typename Fn>
  void ParallelFor(int num_tasks, Fn&& fn) {
    if (num_tasks <= 1 || workers_.empty()) {
      for (int i = 0; i < num_tasks; ++i) fn(i);
      return;
    }
    using Callable = std::remove_reference_t<Fn>;
    Run(
        num_tasks, [](void* context, int task) { (*static_cast<Callable*>(context))(task); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using TaskFn = void (*)(void* context, int task);

  void Run(int num_tasks, TaskFn fn, void* context);
  void WorkerLoop();
  // Claims and runs tasks of the current job until none is left.
  void RunTasks();

  // The current job. Written by Run before unclaimed_ is published, read only after a successful
  // claim; a claimed task keeps its job alive, because Run returns only when every task has
  // finished.
  TaskFn fn_ = nullptr;
  void* context_ = nullptr;
  int num_tasks_ = 0;

  alignas(64) std::atomic<int> unclaimed_{0};  // Run's release store pairs with the claim's acquire
  alignas(64) std::atomic<int> finished_{0};   // each task's release pairs with Run's acquire
  alignas(64) std::atomic<int> job_{0};        // counts jobs: what sleeping workers wait on
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace sluice::kernels::cpu
