// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/drafter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace sluice::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// A loop: there is always something to guess.
const std::vector<TokenId> kLoop(40, 3);

Drafter Reading(int max_drafts) {
  Drafter drafter(max_drafts);
  drafter.Read(kLoop);
  return drafter;
}

TEST(DrafterTest, GrowsWhileDraftsHoldAndShrinksToWhatHeld) {
  Drafter drafter = Reading(8);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(2));
  drafter.OnDrafted(2, 2);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(4));
  drafter.OnDrafted(4, 4);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(8));
  drafter.OnDrafted(8, 8);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(8)) << "the most there is";
  drafter.OnDrafted(8, 2);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(3));
  drafter.OnDrafted(3, 0);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1));
}

TEST(DrafterTest, RoomBoundsADraftButNotThoseAfterIt) {
  Drafter drafter = Reading(8);
  EXPECT_THAT(drafter.Draft(kLoop, 1), SizeIs(1));
  EXPECT_THAT(drafter.Draft(kLoop, 0), IsEmpty());
  drafter.OnDrafted(1, 1);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(2));
}

TEST(DrafterTest, MostOfOneIsOne) {
  Drafter drafter = Reading(1);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1));
  drafter.OnDrafted(1, 1);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1));
}

TEST(DrafterTest, StopsWhenGuessesFailAndStartsWhenTheyHoldAgain) {
  std::vector<TokenId> ids = {1, 2, 1, 2, 1, 2};
  Drafter drafter(8);
  drafter.Read(ids);
  // After 1 2 always something else: each time one guess, which fails.
  TokenId fresh = 100;
  int num_failures = 0;
  while (drafter.Expects(ids)) {
    ASSERT_LT(++num_failures, 10);
    ids.insert(ids.end(), {++fresh, 1, 2});
    drafter.Read(ids);
  }
  EXPECT_EQ(num_failures, 2);
  EXPECT_THAT(drafter.Draft(ids, 8), IsEmpty());
  for (int i = 0; i < 4; ++i) {
    ids.insert(ids.end(), {++fresh, 1, 2});
    drafter.Read(ids);
    EXPECT_FALSE(drafter.Expects(ids));
  }
  // From here on the same: noticed though nothing was drafted.
  int num_held = 0;
  while (!drafter.Expects(ids)) {
    ASSERT_LT(++num_held, 10);
    ids.insert(ids.end(), {fresh, 1, 2});
    drafter.Read(ids);
  }
  EXPECT_LE(num_held, 2);
  EXPECT_THAT(drafter.Draft(ids, 2), ElementsAre(fresh, 1));
}

TEST(DrafterTest, WhereNothingRepeatsThereIsNothingToFail) {
  std::vector<TokenId> ids(100);
  std::iota(ids.begin(), ids.end(), 0);
  Drafter drafter(8);
  drafter.Read(std::span(ids).first(10));
  drafter.Read(ids);
  EXPECT_FALSE(drafter.Expects(ids));
  ids.insert(ids.end(), {40, 41});
  drafter.Read(ids);
  EXPECT_THAT(drafter.Draft(ids, 2), ElementsAre(42, 43));
}

TEST(DrafterTest, DraftsNothingBeforeAllIsRead) {
  std::vector<TokenId> ids(5000);
  std::iota(ids.begin(), ids.end(), 0);
  ids.insert(ids.end(), {7, 8, 9});
  Drafter drafter(8);
  int parts = 1;
  for (drafter.Read(ids); !drafter.Expects(ids); ++parts) {
    ASSERT_LT(parts, 10);
    drafter.Read(ids);
  }
  EXPECT_GT(parts, 1);
  EXPECT_THAT(drafter.Draft(ids, 2), ElementsAre(10, 11));
}

}  // namespace
}  // namespace sluice::worker
