// SPDX-License-Identifier: Apache-2.0
#include "worker/cache/page_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::worker {
namespace {

using testing::ElementsAre;

TEST(PagePoolTest, PagesForRoundsUp) {
  EXPECT_EQ(PagesFor(0), 0);
  EXPECT_EQ(PagesFor(1), 1);
  EXPECT_EQ(PagesFor(64), 1);
  EXPECT_EQ(PagesFor(65), 2);
}

TEST(PagePoolTest, NeverHandsOutTheScratchPage) {
  PagePool pool(4);
  EXPECT_EQ(pool.num_total(), 3);
  std::vector<PageId> pages;
  EXPECT_TRUE(pool.Take(3, pages));
  EXPECT_THAT(pages, ElementsAre(1, 2, 3));
  EXPECT_FALSE(pool.Take(1, pages));
  EXPECT_EQ(pages.size(), 3u) << "a failed Take changes nothing";
}

TEST(PagePoolTest, RetiredPagesComeFreeWithTheirLastStep) {
  PagePool pool(5);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.Take(4, pages));
  pool.Retire({1, 2}, 7);
  pool.Retire({3}, 5);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_EQ(pool.num_retired(), 3);
  EXPECT_EQ(pool.num_used(), 1);
  pool.SetStepDone(5);
  EXPECT_EQ(pool.num_free(), 1);
  pool.SetStepDone(6);
  EXPECT_EQ(pool.num_free(), 1);
  pool.SetStepDone(7);
  EXPECT_EQ(pool.num_free(), 3);
  EXPECT_EQ(pool.num_retired(), 0);
  std::vector<PageId> again;
  ASSERT_TRUE(pool.Take(3, again));
  EXPECT_THAT(again, ElementsAre(1, 2, 3));
}

TEST(PagePoolTest, PagesNoStepNamesAreFreeAtOnce) {
  PagePool pool(3);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.Take(2, pages));
  pool.SetStepDone(9);
  pool.SetStepDone(4);  // an older report changes nothing
  pool.Retire({1}, 0);
  pool.Retire({2}, 9);
  EXPECT_EQ(pool.num_free(), 2);
}

}  // namespace
}  // namespace sluice::worker
