// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

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
