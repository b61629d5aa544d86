// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace sluice::kernels::cpu {
namespace {

TEST(ThreadPoolTest, RunsEachTaskOnceAndWritesAreVisible) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    for (int round = 0; round < 2000; ++round) {
      const int tasks = round % 17;
      std::vector<int> ran(tasks, 0);  // not atomic: a race or a second run shows
      pool.ParallelFor(tasks, [&](int i) { ran[i] += i + 1; });
      for (int i = 0; i < tasks; ++i) ASSERT_EQ(ran[i], i + 1) << "round " << round;
    }
  }
}

TEST(ThreadPoolTest, WaitsForTheSlowestTask) {
  ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> started{0};
    std::vector<uint64_t> result(2, 0);
    pool.ParallelFor(2, [&](int i) {
      // Both threads hold a task before either goes on; the worker's then takes far longer.
      started.fetch_add(1);
      while (started.load() < 2) std::this_thread::yield();
      uint64_t value = i + 1;
      if (std::this_thread::get_id() != caller) {
        for (int step = 0; step < 300'000; ++step)
          value = value * 6364136223846793005u + 1442695040888963407u;
        value |= 1;
      }
      result[i] = value;
    });
    ASSERT_NE(result[0], 0u) << "round " << round;
    ASSERT_NE(result[1], 0u) << "round " << round;
  }
}

TEST(ThreadPoolTest, WakesSleepingWorkers) {
  // More rounds than the spin bridges, with a pause no scheduler can mistake for work.
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(1));  // lets workers fall asleep; asserts nothing
    std::vector<int> ran(8, 0);
    pool.ParallelFor(8, [&](int i) { ran[i] = 1; });
    EXPECT_EQ(ran, std::vector<int>(8, 1));
  }
}

TEST(ThreadPoolTest, IdlePoolsStop) {
  for (int i = 0; i < 100; ++i) ThreadPool pool(4);
}

}  // namespace
}  // namespace sluice::kernels::cpu
