// SPDX-License-Identifier: Apache-2.0
// Single decisions of the scheduler; the simulation test covers their interplay.
#include "worker/scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/scheduler/scheduler_driver.h"

namespace sluice::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

SchedulerOptions Options() {
  return {.max_rows = 4, .max_batched_tokens = 16, .num_pages = 9, .max_model_len = 512};
}

TEST(SchedulerTest, PrefillIsCutIntoChunksAndOnlyTheLastOneSamples) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 40, 4));
  const auto first = RunStep(scheduler);
  ASSERT_THAT(first->plan.added, SizeIs(1));
  EXPECT_THAT(Ids(first->admitted), ElementsAre(1));
  EXPECT_EQ(first->plan.rows[0].num_tokens(), 16);
  EXPECT_FALSE(first->plan.rows[0].sample);
  EXPECT_EQ(RunStep(scheduler)->plan.rows[0].ids.front(), 1116) << "continues where it stopped";
  const auto third = RunStep(scheduler);
  EXPECT_EQ(third->plan.rows[0].num_tokens(), 8);
  EXPECT_TRUE(third->plan.rows[0].sample);
  const auto decode = RunStep(scheduler);
  EXPECT_THAT(decode->plan.rows[0].ids, IsEmpty()) << "names the token sampled last";
  EXPECT_EQ(decode->num_decode_tokens, 1);
}

TEST(SchedulerTest, DecodesGoBeforePrefill) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 3, 50));
  RunStep(scheduler);
  scheduler.Add(Spec(2, 100, 4));
  const auto step = RunStep(scheduler);
  ASSERT_THAT(step->plan.rows, SizeIs(2));
  EXPECT_EQ(step->num_decode_tokens, 1);
  EXPECT_EQ(step->num_prefill_tokens, 15) << "the rest of the budget";
}

TEST(SchedulerTest, HigherPriorityIsAdmittedFirst) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 16, 4, 0));
  scheduler.Add(Spec(2, 16, 4, 5));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(2));
}

TEST(SchedulerTest, PlansAheadOnlyUpToTheLimit) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 2, 2));
  ASSERT_TRUE(scheduler.Plan());
  ASSERT_TRUE(scheduler.Plan()) << "the second id is planned while the first is computed";
  EXPECT_FALSE(scheduler.Plan()) << "there is no third";
  EXPECT_THAT(scheduler.CompleteStep({{.ids = {7}}}), ElementsAre(1));
  EXPECT_FALSE(scheduler.Plan());
}

TEST(SchedulerTest, SamplesOfRemovedSequencesAreDropped) {
  Scheduler scheduler(Options());
  scheduler.Add(Spec(1, 2, 10));
  scheduler.Add(Spec(2, 2, 10));
  ASSERT_TRUE(scheduler.Plan());
  scheduler.Remove(1);
  EXPECT_THAT(scheduler.CompleteStep({{.ids = {7}}, {.ids = {8}}}), ElementsAre(kNoSequence, 2));
}

TEST(SchedulerTest, PagesAreReusedOnlyAfterTheLastStepThatNamesThem) {
  SchedulerOptions options = Options();
  options.num_pages = 3;
  options.max_model_len = 128;
  options.max_batched_tokens = 128;
  Scheduler scheduler(options);
  scheduler.Add(Spec(1, 100, 20));
  ASSERT_TRUE(scheduler.Plan());
  scheduler.Remove(1);
  scheduler.Add(Spec(2, 100, 20));
  EXPECT_FALSE(scheduler.Plan()) << "step 1 still writes both pages";
  scheduler.CompleteStep({{.ids = {7}}});
  EXPECT_FALSE(scheduler.Plan()) << "this rank is done, others may not be";
  scheduler.SetStepDone(1);
  const auto step = scheduler.Plan();
  ASSERT_TRUE(step);
  EXPECT_THAT(step->plan.released_rows, ElementsAre(0)) << "told with the next plan";
  EXPECT_THAT(Ids(step->admitted), ElementsAre(2));
}

TEST(SchedulerTest, PreemptsTheLastArrivedOfTheLowestPriority) {
  SchedulerOptions options = Options();
  options.num_pages = 5;
  options.max_model_len = 256;
  options.max_batched_tokens = 256;
  Scheduler scheduler(options);
  scheduler.Add(Spec(1, 60, 100, 1));
  RunStep(scheduler);
  scheduler.Add(Spec(2, 60, 100, 0));
  RunStep(scheduler);
  while (scheduler.Load().preemptions == 0) ASSERT_TRUE(RunStep(scheduler));
  const SchedulerLoad load = scheduler.Load();
  EXPECT_EQ(load.running, 1);
  EXPECT_EQ(load.waiting, 1);
  scheduler.Remove(1);
  const auto step = RunStep(scheduler);
  ASSERT_THAT(Ids(step->admitted), ElementsAre(2));
  EXPECT_EQ(step->plan.added[0].sampling->prompt.size(), 60u);
  EXPECT_GT(step->plan.added[0].sampling->output.size(), 0u) << "keeps what it had generated";
  EXPECT_EQ(step->plan.added[0].position + step->plan.rows[0].num_tokens(),
            static_cast<int>(60 + step->plan.added[0].sampling->output.size()));
}

TEST(SchedulerTest, NobodyIsPreemptedForAnotherWhoWouldStillNotFit) {
  SchedulerOptions options = Options();
  options.num_pages = 9;
  options.max_model_len = 512;
  options.max_batched_tokens = 512;
  Scheduler scheduler(options);
  scheduler.Add(Spec(1, 300, 10, 1));
  scheduler.Add(Spec(2, 30, 30, 0));
  RunStep(scheduler);
  // The first one's pages are not for the taking, and the second one's alone are too few.
  scheduler.Add(Spec(3, 250, 10, 1));
  const auto step = RunStep(scheduler);
  EXPECT_EQ(scheduler.Load().preemptions, 0);
  EXPECT_EQ(TokensOf(*step, 1), 1) << "the second one goes on";
  scheduler.Remove(1);
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(3));
  EXPECT_EQ(scheduler.Load().preemptions, 0);
}

TEST(SchedulerTest, PagesThatOnlyLowerPrioritiesShareAreForTheTaking) {
  SchedulerOptions options = Options();
  options.num_pages = 11;
  options.max_model_len = 512;
  options.max_batched_tokens = 512;
  Scheduler scheduler(options);
  SequenceSpec low = Spec(1, 320, 10, 0);
  low.prompt_group = 1;
  scheduler.Add(low);
  low.id = 2;
  low.choice = 1;
  scheduler.Add(low);
  RunStep(scheduler);
  RunStep(scheduler);
  ASSERT_EQ(scheduler.Load().running, 2);
  scheduler.Add(Spec(3, 400, 10, 1));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(3));
  EXPECT_EQ(scheduler.Load().preemptions, 2);
}

TEST(SchedulerTest, PromptScoringCoversEveryIdButTheFirst) {
  Scheduler scheduler(Options());
  SequenceSpec spec = Spec(1, 40, 4);
  spec.prompt_logprobs = true;
  scheduler.Add(std::move(spec));
  scheduler.Add(Spec(2, 40, 4));
  std::vector<int> counts;
  for (int i = 0; i < 3; ++i) {
    const auto step = RunStep(scheduler);
    counts.push_back(step->plan.rows[0].num_prompt_logprobs);
    EXPECT_THAT(step->scored, ElementsAre(1));
  }
  EXPECT_THAT(counts, ElementsAre(16, 16, 7)) << "no prompt id follows the last one";
  while (const auto step = RunStep(scheduler)) EXPECT_THAT(step->scored, IsEmpty());
}

TEST(SchedulerTest, AOneIdPromptHasNothingToScore) {
  Scheduler scheduler(Options());
  SequenceSpec spec = Spec(1, 1, 4);
  spec.prompt_logprobs = true;
  scheduler.Add(std::move(spec));
  EXPECT_THAT(RunStep(scheduler)->scored, IsEmpty());
}

TEST(SchedulerTest, AReadmittedPromptIsScoredOnlyWhereItWasNot) {
  SchedulerOptions options = Options();
  options.num_pages = 5;
  options.max_model_len = 256;
  options.max_batched_tokens = 32;
  Scheduler scheduler(options);
  scheduler.Add(Spec(1, 60, 100, 1));
  RunStep(scheduler);
  RunStep(scheduler);
  SequenceSpec spec = Spec(2, 60, 100);
  spec.prompt_logprobs = true;
  scheduler.Add(std::move(spec));
  int scored = 0;
  while (scheduler.Load().preemptions == 0) {
    const auto step = RunStep(scheduler);
    for (const RowStep& row : step->plan.rows) scored += row.num_prompt_logprobs;
  }
  EXPECT_EQ(scored, 59);
  scheduler.Remove(1);
  while (const auto step = RunStep(scheduler)) EXPECT_THAT(step->scored, IsEmpty());
}

// Decodes alone after the prompt 1 2 3 1 2 3, whose next ids are easily guessed.
SequenceSpec LoopSpec(SequenceId id, int max_tokens) {
  SequenceSpec spec = Spec(id, 6, max_tokens);
  spec.prompt =
      std::make_shared<const std::vector<TokenId>>(std::vector<TokenId>{1, 2, 3, 1, 2, 3});
  return spec;
}

SchedulerOptions SpeculatingOptions() {
  SchedulerOptions options = Options();
  options.max_drafts = 8;
  return options;
}

TEST(SchedulerTest, DraftsFollowTheKnownIdsAndTheNextPlanWaitsForThem) {
  Scheduler scheduler(SpeculatingOptions());
  scheduler.Add(LoopSpec(1, 20));
  ASSERT_TRUE(scheduler.Plan());
  EXPECT_FALSE(scheduler.Plan()) << "drafts are likely once the id is known";
  scheduler.CompleteStep({{.ids = {1}}});
  const auto step = scheduler.Plan();
  ASSERT_TRUE(step);
  EXPECT_THAT(step->plan.rows[0].ids, IsEmpty());
  EXPECT_THAT(step->plan.rows[0].drafts, ElementsAre(2, 3));
  EXPECT_EQ(step->num_decode_tokens, 3) << "drafts count in the budget";
  EXPECT_FALSE(scheduler.Plan()) << "it is not known where the row stands";
  EXPECT_THAT(scheduler.CompleteStep({{.ids = {2, 9}}}), ElementsAre(1));
  const SchedulerLoad load = scheduler.Load();
  EXPECT_EQ(load.drafted_tokens, 2);
  EXPECT_EQ(load.accepted_tokens, 1);
  ASSERT_TRUE(scheduler.Plan());
  ASSERT_TRUE(scheduler.Plan()) << "9 was never there: no drafts, one step ahead";
}

TEST(SchedulerTest, DraftsNeverReachBeyondTheLimit) {
  for (const int left : {1, 2}) {
    Scheduler scheduler(SpeculatingOptions());
    scheduler.Add(LoopSpec(1, 1 + left));
    ASSERT_TRUE(scheduler.Plan());
    scheduler.CompleteStep({{.ids = {1}}});
    const auto step = scheduler.Plan();
    ASSERT_TRUE(step);
    EXPECT_THAT(step->plan.rows[0].drafts, SizeIs(left - 1)) << left;
  }
}

TEST(SchedulerTest, ManyRowsDraftNothing) {
  SchedulerOptions options = SpeculatingOptions();
  options.speculation_max_rows = 1;
  Scheduler scheduler(options);
  scheduler.Add(LoopSpec(1, 20));
  scheduler.Add(LoopSpec(2, 20));
  ASSERT_TRUE(scheduler.Plan());
  ASSERT_TRUE(scheduler.Plan()) << "nothing waits";
  scheduler.CompleteStep({{.ids = {1}}, {.ids = {1}}});
  scheduler.CompleteStep({{.ids = {2}}, {.ids = {2}}});
  const auto both = scheduler.Plan();
  ASSERT_TRUE(both);
  for (const RowStep& row : both->plan.rows) EXPECT_THAT(row.drafts, IsEmpty());
  scheduler.CompleteStep({{.ids = {3}}, {.ids = {3}}});
  scheduler.Remove(2);
  const auto alone = scheduler.Plan();
  ASSERT_TRUE(alone);
  EXPECT_THAT(alone->plan.rows[0].drafts, ElementsAre(1, 2));
}

TEST(SchedulerTest, DraftsLeaveBudgetForOtherRowsAndForPrefill) {
  SchedulerOptions options = SpeculatingOptions();
  options.max_batched_tokens = 8;
  Scheduler scheduler(options);
  scheduler.Add(LoopSpec(1, 20));
  ASSERT_TRUE(scheduler.Plan());
  scheduler.CompleteStep({{.ids = {1}}});
  ASSERT_TRUE(scheduler.Plan());
  scheduler.CompleteStep({{.ids = {2, 3, 1}}});
  scheduler.Add(Spec(2, 100, 4));
  const auto step = scheduler.Plan();
  ASSERT_TRUE(step);
  EXPECT_THAT(step->plan.rows[0].drafts, SizeIs(3)) << "not four, but half of the seven";
  EXPECT_EQ(step->num_prefill_tokens, 4);
}

TEST(SchedulerTest, ADraftTakesNoPageThatIsShort) {
  SchedulerOptions options = SpeculatingOptions();
  options.num_pages = 3;
  options.max_model_len = 2 * kPageTokens;
  options.max_batched_tokens = 2 * kPageTokens;
  Scheduler scheduler(options);
  SequenceSpec spec = Spec(1, 1, 20);
  std::vector<TokenId> prompt(kPageTokens - 2, 5);
  spec.prompt = std::make_shared<const std::vector<TokenId>>(prompt);
  spec.max_length = kPageTokens + 20;
  scheduler.Add(std::move(spec));
  ASSERT_TRUE(scheduler.Plan());
  scheduler.CompleteStep({{.ids = {5}}});
  const auto step = scheduler.Plan();
  ASSERT_TRUE(step);
  EXPECT_THAT(step->plan.rows[0].drafts, SizeIs(1)) << "up to the end of the page it has";
  EXPECT_THAT(step->plan.pages, IsEmpty()) << "the last free page is left for growth";
}

}  // namespace
}  // namespace sluice::worker
