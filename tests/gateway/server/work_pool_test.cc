// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/work_pool.h"

#include <atomic>
#include <future>

#include "gtest/gtest.h"

namespace sluice::gateway {
namespace {

TEST(WorkPoolTest, RunsEverythingItTook) {
  std::atomic<int> ran{0};
  {
    WorkPool pool(3, 1000);
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(pool.Post([&ran] { ++ran; }));
  }
  EXPECT_EQ(ran, 1000);
}

TEST(WorkPoolTest, RefusesBeyondItsBound) {
  std::promise<void> started;
  std::promise<void> release;
  WorkPool pool(1, 2);
  ASSERT_TRUE(pool.Post([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_TRUE(pool.Post([] {}));
  EXPECT_TRUE(pool.Post([] {}));
  EXPECT_FALSE(pool.Post([] {}));
  release.set_value();
}

}  // namespace
}  // namespace sluice::gateway
