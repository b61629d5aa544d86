// SPDX-License-Identifier: Apache-2.0
#include "worker/engine/step_watchdog.h"

#include <gtest/gtest.h>

#include "tests/worker/engine/engine_fixture.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class StepWatchdogTest : public testing::Test {
 protected:
  void RunSteps(int n, int num_tokens, std::chrono::nanoseconds each) {
    for (int i = 0; i < n; ++i) {
      watchdog_.StepSubmitted(num_tokens);
      clock_.Advance(each);
      watchdog_.StepEnded();
    }
  }

  FakeClock clock_;
  StepWatchdog watchdog_{{}, clock_};
};

TEST_F(StepWatchdogTest, IdleIsNeverOverdue) {
  clock_.Advance(minutes(60));
  EXPECT_FALSE(watchdog_.Overdue());
}

TEST_F(StepWatchdogTest, FirstStepMayBeSlow) {
  watchdog_.StepSubmitted(1);
  clock_.Advance(minutes(9));
  EXPECT_FALSE(watchdog_.Overdue());
  clock_.Advance(minutes(2));
  EXPECT_TRUE(watchdog_.Overdue());
}

TEST_F(StepWatchdogTest, QuickStepsHaveTheFloor) {
  RunSteps(20, 1, milliseconds(10));
  watchdog_.StepSubmitted(1);
  clock_.Advance(seconds(5));
  EXPECT_FALSE(watchdog_.Overdue());
  clock_.Advance(milliseconds(1));
  ASSERT_TRUE(watchdog_.Overdue());
  EXPECT_EQ(*watchdog_.Overdue(), seconds(5) + milliseconds(1));
}

TEST_F(StepWatchdogTest, SlowModelsHaveTwentyMedians) {
  RunSteps(20, 2, seconds(2));
  watchdog_.StepSubmitted(2);
  clock_.Advance(seconds(40));
  EXPECT_FALSE(watchdog_.Overdue());
  clock_.Advance(seconds(1));
  EXPECT_TRUE(watchdog_.Overdue());
}

TEST_F(StepWatchdogTest, BoundGrowsWithTheTokensOfTheStep) {
  RunSteps(20, 1, seconds(1));
  watchdog_.StepSubmitted(128);
  clock_.Advance(minutes(20));
  EXPECT_FALSE(watchdog_.Overdue());
}

TEST_F(StepWatchdogTest, LongStepsAreJudgedByLongOnes) {
  // As on a GPU: a step of a thousand times the tokens takes ten times as long.
  RunSteps(100, 1, milliseconds(5));
  RunSteps(1, 2000, milliseconds(50));
  RunSteps(100, 1, milliseconds(5));
  watchdog_.StepSubmitted(2048);
  clock_.Advance(seconds(6));
  EXPECT_TRUE(watchdog_.Overdue()) << "most steps are short, but what a long one takes is known";
}

TEST_F(StepWatchdogTest, ShortStepsAreBoundedWhereOnlyLongOnesAreKnown) {
  RunSteps(10, 2048, seconds(10));
  watchdog_.StepSubmitted(1);
  clock_.Advance(seconds(199));
  EXPECT_FALSE(watchdog_.Overdue());
  clock_.Advance(seconds(2));
  EXPECT_TRUE(watchdog_.Overdue()) << "no longer than a long one";
}

TEST_F(StepWatchdogTest, StepWithoutTokensCountsAsOfOne) {
  RunSteps(3, 0, milliseconds(1));
  watchdog_.StepSubmitted(0);
  clock_.Advance(seconds(4));
  EXPECT_FALSE(watchdog_.Overdue());
  clock_.Advance(seconds(2));
  EXPECT_TRUE(watchdog_.Overdue());
}

TEST_F(StepWatchdogTest, QueuedStepBeginsWhenTheOneBeforeItEnds) {
  RunSteps(20, 1, milliseconds(10));
  watchdog_.StepSubmitted(1);
  watchdog_.StepSubmitted(1);
  clock_.Advance(seconds(4));
  watchdog_.StepEnded();
  clock_.Advance(seconds(4));
  EXPECT_FALSE(watchdog_.Overdue()) << "the second step has run for four seconds only";
  clock_.Advance(seconds(2));
  EXPECT_TRUE(watchdog_.Overdue());
}

}  // namespace
}  // namespace sluice::worker
