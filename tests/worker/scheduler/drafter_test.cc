// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/drafter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace sluice::worker {
namespace {

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
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(4));
  drafter.OnStep(4, 4);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(8));
  drafter.OnStep(8, 8);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(8)) << "the most there is";
  drafter.OnStep(8, 2);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(3));
}

TEST(DrafterTest, RoomBoundsADraftButNotThoseAfterIt) {
  Drafter drafter = Reading(8);
  EXPECT_THAT(drafter.Draft(kLoop, 1), SizeIs(1));
  EXPECT_THAT(drafter.Draft(kLoop, 0), IsEmpty());
  drafter.OnStep(1, 1);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(4));
}

// Ids until the next attempt.
int PauseOf(Drafter& drafter) {
  int pause = 0;
  while (drafter.Draft(kLoop, 100).empty()) {
    EXPECT_FALSE(drafter.Expects(kLoop));
    drafter.OnStep(0, 0);
    ++pause;
  }
  return pause;
}

TEST(DrafterTest, PausesLongerAndLongerUntilADraftHolds) {
  Drafter drafter = Reading(8);
  drafter.OnStep(4, 0);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1)) << "once is no reason";
  for (const int pause : {16, 32, 64, 128, 256, 256}) {
    drafter.OnStep(1, 0);
    EXPECT_EQ(PauseOf(drafter), pause);
    EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1));
  }
  drafter.OnStep(1, 1);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(2));
  drafter.OnStep(2, 0);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1)) << "all is forgotten";
}

TEST(DrafterTest, MostOfOneIsOne) {
  Drafter drafter = Reading(1);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1));
  drafter.OnStep(1, 1);
  EXPECT_THAT(drafter.Draft(kLoop, 100), SizeIs(1));
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
  EXPECT_THAT(drafter.Draft(ids, 2), testing::ElementsAre(10, 11));
}

}  // namespace
}  // namespace sluice::worker
