// SPDX-License-Identifier: Apache-2.0
// Who waits for whom: long prompts, short ones, decoding rows and priorities.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/scheduler/scheduler_driver.h"

namespace sluice::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

SchedulerOptions Options() {
  return {.max_rows = 4, .max_batched_tokens = 16, .num_pages = 2001, .max_model_len = 120'000};
}

TEST(FairnessTest, ALongPromptAloneTakesTheWholeBudget) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 1000, 4));
  EXPECT_EQ(RunStep(scheduler)->num_prefill_tokens, 16);
  EXPECT_EQ(RunStep(scheduler)->num_prefill_tokens, 16);
}

TEST(FairnessTest, ALongPromptLeavesHalfToAShorterOneThatComesLater) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 1000, 4));
  RunStep(scheduler);
  scheduler.Add(Spec(2, 20, 4));
  const auto step = RunStep(scheduler);
  EXPECT_EQ(TokensOf(*step, 0), 8);
  EXPECT_EQ(TokensOf(*step, 1), 8);
  RunStep(scheduler);
  const auto last = RunStep(scheduler);
  EXPECT_EQ(TokensOf(*last, 1), 4);
  EXPECT_EQ(TokensOf(*last, 0), 12) << "what the short one leaves goes to the long one";
}

TEST(FairnessTest, PromptsOfOneLengthGoInOrder) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 100, 4));
  scheduler.Add(Spec(2, 100, 4));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(TokensOf(*RunStep(scheduler), 0), 16);
  const auto step = RunStep(scheduler);
  EXPECT_EQ(TokensOf(*step, 0), 4);
  EXPECT_EQ(TokensOf(*step, 1), 12) << "sharing would only make both later";
}

TEST(FairnessTest, AShortPromptPassesALongOneThatWaits) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 1000, 4));
  RunStep(scheduler);
  scheduler.Add(Spec(2, 2000, 4));
  scheduler.Add(Spec(3, 30, 4));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(3));
}

TEST(FairnessTest, AStreamOfShortPromptsDelaysALongOneByAFactorOfTwo) {
  SchedulerOptions options = Options();
  options.max_rows = 8;
  Scheduler scheduler(options);
  scheduler.Add(Spec(1, 800, 1));
  int steps = 0;
  for (SequenceId next = 2; scheduler.Load().running == 0 || steps < 200; ++next) {
    // Two of a kind at any time: half of the budget is never idle.
    scheduler.Add(Spec(next, 12, 1));
    const auto step = RunStep(scheduler);
    ++steps;
    for (SequenceId ended = 2; ended < next - 2; ++ended) scheduler.Remove(ended);
    const bool done =
        TokensOf(*step, 0) > 0 && step->plan.rows.back().row == 0 && step->plan.rows.back().sample;
    if (done) break;
  }
  EXPECT_GT(steps, 70) << "the short ones did get a share";
  EXPECT_LE(steps, 100) << "800 tokens, 8 of 16 a step at least";
}

TEST(FairnessTest, DecodingRowsAreInEveryStepOfAHugePrompt) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 3, 10'000));
  scheduler.Add(Spec(2, 3, 10'000));
  RunStep(scheduler);
  scheduler.Add(Spec(3, 100'000, 4));
  int steps = 0;
  for (bool done = false; !done; ++steps) {
    const auto step = RunStep(scheduler);
    ASSERT_EQ(step->num_decode_tokens, 2) << "one chunk at most between two of their tokens";
    ASSERT_LE(step->num_prefill_tokens, 14);
    done = step->plan.rows.back().sample && step->plan.rows.back().row == 2;
  }
  EXPECT_EQ(steps, (100'000 + 13) / 14);
}

TEST(FairnessTest, LowerPrioritiesHaveNoShareInAPrompt) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 1000, 4, 1));
  RunStep(scheduler);
  scheduler.Add(Spec(2, 10, 4, 0));
  const auto low = RunStep(scheduler);
  EXPECT_THAT(low->admitted, IsEmpty());
  EXPECT_EQ(TokensOf(*low, 0), 16);
  scheduler.Add(Spec(3, 32, 4, 2));
  const auto high = RunStep(scheduler);
  EXPECT_THAT(Ids(high->admitted), ElementsAre(3));
  EXPECT_EQ(TokensOf(*high, 1), 16) << "and a higher one leaves nothing";
}

TEST(FairnessTest, AHigherPriorityTakesTheLastRowOfALowerOne) {
  Scheduler scheduler(Options());
  for (SequenceId id = 1; id <= 4; ++id) scheduler.Add(Spec(id, 4, 50, id == 2 ? 0 : 1));
  RunStep(scheduler);
  scheduler.Add(Spec(5, 4, 50, 1));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(5));
  EXPECT_EQ(scheduler.Load().preemptions, 1);
  scheduler.Add(Spec(6, 4, 50, 1));
  EXPECT_THAT(RunStep(scheduler)->admitted, IsEmpty()) << "nobody yields to an equal";
  EXPECT_EQ(scheduler.Load().preemptions, 1);
  scheduler.Remove(1);
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(6));
  scheduler.Remove(3);
  const auto back = RunStep(scheduler);
  EXPECT_THAT(Ids(back->admitted), ElementsAre(2));
  EXPECT_EQ(back->plan.added[0].sampling->output.size(), 1u) << "it keeps what it had generated";
}

TEST(FairnessTest, AHigherPriorityTakesPagesOfLowerOnesButNoMoreThanItNeeds) {
  SchedulerOptions options = Options();
  options.num_pages = 11;
  options.max_model_len = 640;
  options.max_batched_tokens = 640;
  Scheduler scheduler(options);
  for (SequenceId id = 1; id <= 3; ++id) scheduler.Add(Spec(id, 100, 20));
  RunStep(scheduler);
  EXPECT_EQ(scheduler.Load().pages_used, 6);
  scheduler.Add(Spec(4, 200, 20, 1));
  while (Ids(RunStep(scheduler)->admitted) != std::vector<SequenceId>{4}) {
  }
  EXPECT_EQ(scheduler.Load().preemptions, 1) << "one lower one made room";
}

TEST(FairnessTest, StepsWithoutDecodesHaveABudgetOfTheirOwn) {
  SchedulerOptions options = Options();
  options.max_prefill_tokens = 64;
  Scheduler scheduler(options);
  scheduler.Add(Spec(1, 80, 10));
  EXPECT_EQ(RunStep(scheduler)->num_prefill_tokens, 64);
  RunStep(scheduler);
  scheduler.Add(Spec(2, 100, 10));
  const auto step = RunStep(scheduler);
  EXPECT_EQ(step->num_decode_tokens, 1);
  EXPECT_EQ(step->num_prefill_tokens, 15);
}

TEST(FairnessTest, AShortPromptPassesALongOneHoweverManyChoicesThatHas) {
  Scheduler scheduler(
      {.max_rows = 40, .max_batched_tokens = 64, .num_pages = 200, .max_model_len = 4096});
  SequenceSpec longer = Spec(1, 2000, 8);
  longer.prompt_group = 1;
  for (int choice = 0; choice < 30; ++choice) {
    longer.id = 1 + choice;
    longer.choice = static_cast<uint32_t>(choice);
    scheduler.Add(longer);
  }
  RunStep(scheduler);
  scheduler.Add(Spec(100, 10, 8));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(100));
}

TEST(FairnessTest, AShortPromptPassesManyLongOnes) {
  Scheduler scheduler(
      {.max_rows = 40, .max_batched_tokens = 64, .num_pages = 2000, .max_model_len = 4096});
  for (SequenceId id = 1; id <= 30; ++id) scheduler.Add(Spec(id, 2000, 8));
  RunStep(scheduler);
  scheduler.Add(Spec(100, 10, 8));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(100));
}

}  // namespace
}  // namespace sluice::worker
