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
  pool.Release({1, 2}, 7);
  pool.Release({3}, 5);
  EXPECT_EQ(pool.num_available(), 0);
  EXPECT_EQ(pool.num_retired(), 3);
  EXPECT_EQ(pool.num_used(), 1);
  pool.SetStepDone(5);
  EXPECT_EQ(pool.num_available(), 1);
  pool.SetStepDone(6);
  EXPECT_EQ(pool.num_available(), 1);
  pool.SetStepDone(7);
  EXPECT_EQ(pool.num_available(), 3);
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
  pool.Release({1}, 0);
  pool.Release({2}, 9);
  EXPECT_EQ(pool.num_available(), 2);
}

PrefixHash Hash(uint64_t n) { return {n, n + 1}; }

TEST(PagePoolTest, SharedPagesComeFreeWithTheirLastHolder) {
  PagePool pool(4);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.Take(2, pages));
  pool.Share(1);
  EXPECT_EQ(pool.num_holders(1), 2);
  pool.Release({1, 2}, 5);
  EXPECT_EQ(pool.num_used(), 1);
  pool.Release({1}, 3);
  EXPECT_EQ(pool.num_retired(), 2);
  pool.SetStepDone(4);
  EXPECT_EQ(pool.num_retired(), 2) << "the first holder's row was named in step 5";
  pool.SetStepDone(5);
  EXPECT_EQ(pool.num_available(), 3);
}

TEST(PagePoolTest, ACopysSourceIsInUseUntilItsStepEnds) {
  PagePool pool(3);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.Take(1, pages));
  pool.NameInStep(1, 8);
  pool.Release({1}, 2);
  pool.SetStepDone(7);
  EXPECT_EQ(pool.num_retired(), 1);
  pool.SetStepDone(8);
  EXPECT_EQ(pool.num_retired(), 0);
}

TEST(PagePoolTest, PublishedPagesAreFoundUntilTheyAreEvicted) {
  PagePool pool(4);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.Take(2, pages));
  EXPECT_TRUE(pool.Publish(1, Hash(1)));
  EXPECT_FALSE(pool.Publish(2, Hash(1))) << "the content is there already";
  EXPECT_EQ(pool.Find(Hash(1)), 1);
  pool.Release({1, 2}, 0);
  EXPECT_EQ(pool.num_cached(), 1);
  EXPECT_EQ(pool.num_available(), 3) << "cached pages can be had";
  EXPECT_EQ(pool.num_used(), 0);
  pages.clear();
  ASSERT_TRUE(pool.Take(2, pages));
  EXPECT_THAT(pages, ElementsAre(2, 3)) << "free pages go first";
  EXPECT_EQ(pool.Find(Hash(1)), 1);
  pages.clear();
  ASSERT_TRUE(pool.Take(1, pages));
  EXPECT_THAT(pages, ElementsAre(1));
  EXPECT_EQ(pool.Find(Hash(1)), std::nullopt);
  pool.Release({1}, 0);
  EXPECT_EQ(pool.num_cached(), 0) << "its new content was never published";
}

TEST(PagePoolTest, EvictsTheLeastRecentlyUsedAndATailBeforeItsHead) {
  PagePool pool(5);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.Take(4, pages));
  for (PageId page : pages) ASSERT_TRUE(pool.Publish(page, Hash(static_cast<uint64_t>(page))));
  pool.Release({3, 4}, 0);
  pool.Release({1, 2}, 0);
  pool.Share(3);  // used again
  pool.Release({3}, 0);
  std::vector<PageId> evicted;
  ASSERT_TRUE(pool.Take(4, evicted));
  EXPECT_THAT(evicted, ElementsAre(4, 2, 1, 3));
}

TEST(PagePoolTest, AFoundPageMayBeHeldAgainWhileItRetires) {
  PagePool pool(3);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.Take(1, pages));
  ASSERT_TRUE(pool.Publish(1, Hash(1)));
  pool.Release({1}, 4);
  EXPECT_EQ(pool.num_retired(), 1);
  pool.Share(1);
  EXPECT_EQ(pool.num_retired(), 0);
  pool.SetStepDone(4);
  EXPECT_EQ(pool.num_used(), 1) << "its old retirement means nothing";
  pool.Release({1}, 5);
  pool.Share(1);
  pool.Release({1}, 6);
  pool.Share(1);
  pool.Release({1}, 6);
  pool.SetStepDone(5);
  EXPECT_EQ(pool.num_retired(), 1) << "step 6 names it too";
  pool.SetStepDone(6);
  EXPECT_EQ(pool.num_retired(), 0);
  EXPECT_EQ(pool.num_cached(), 1);
  EXPECT_EQ(pool.num_available(), 2);
}

}  // namespace
}  // namespace sluice::worker
