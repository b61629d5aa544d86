// SPDX-License-Identifier: Apache-2.0
// Pages that several sequences hold: through the prefix cache, and as choices of one request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/scheduler/scheduler_driver.h"

namespace sluice::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

SchedulerOptions Options() {
  return {.max_rows = 4, .max_batched_tokens = 512, .num_pages = 65, .max_model_len = 1024};
}

SequenceSpec SameAs(const SequenceSpec& other, SequenceId id) {
  SequenceSpec spec = other;
  spec.id = id;
  return spec;
}

TEST(SharingTest, AHitNeverCoversTheLastToken) {
  for (const auto& [length, hit] : std::vector<std::pair<int, int>>{
           {63, 0}, {64, 0}, {65, 64}, {127, 64}, {128, 64}, {129, 128}}) {
    Scheduler scheduler(Options());
    // The earlier one is longer, so that all its prompt's pages are published.
    SequenceSpec first = Spec(1, 256, 8);
    scheduler.Add(first);
    RunStep(scheduler);
    SequenceSpec second = Spec(2, length, 8);
    second.prompt = std::make_shared<const std::vector<TokenId>>(first.prompt->begin(),
                                                                 first.prompt->begin() + length);
    scheduler.Add(second);
    const auto step = RunStep(scheduler);
    EXPECT_EQ(step->plan.added[0].position, hit) << length;
    EXPECT_EQ(step->admitted[0].cached_tokens, hit);
    EXPECT_EQ(TokensOf(*step, 1), length - hit);
    EXPECT_EQ(scheduler.Load().prefix_tokens_hit, hit);
    EXPECT_EQ(scheduler.Load().prefix_tokens_queried, 256 + length);
  }
}

TEST(SharingTest, APromptThatIsBeingComputedIsWaitedForAndPassed) {
  Scheduler scheduler(Options());
  const SequenceSpec first = Spec(1, 200, 8);
  scheduler.Add(first);
  ASSERT_TRUE(scheduler.Plan());
  scheduler.Add(SameAs(first, 2));
  scheduler.Add(Spec(3, 200, 8));
  EXPECT_THAT(Ids(scheduler.Plan()->admitted), ElementsAre(3)) << "step 1 has not ended";
  scheduler.CompleteStep({{.ids = {7}, .finite = true}});
  const auto step = scheduler.Plan();
  EXPECT_THAT(Ids(step->admitted), ElementsAre(2));
  EXPECT_EQ(step->plan.added[0].position, 192);
}

TEST(SharingTest, APromptIsNotWaitedForLongerThanComputingTakes) {
  SchedulerOptions options = Options();
  options.max_batched_tokens = 128;
  Scheduler scheduler(options);
  const SequenceSpec first = Spec(1, 900, 8);
  scheduler.Add(first);
  RunStep(scheduler);
  // They have two pages in common; the first has 772 tokens to go.
  SequenceSpec second = Spec(2, 200, 8);
  std::vector<TokenId> prompt(first.prompt->begin(), first.prompt->begin() + 128);
  prompt.insert(prompt.end(), second.prompt->begin(), second.prompt->begin() + 72);
  second.prompt = std::make_shared<const std::vector<TokenId>>(std::move(prompt));
  scheduler.Add(second);
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(2));
}

TEST(SharingTest, WhoWaitedForPagesGoesOnWhenTheirMakerGoes) {
  Scheduler scheduler(Options());
  const SequenceSpec first = Spec(1, 200, 8);
  scheduler.Add(first);
  ASSERT_TRUE(scheduler.Plan());
  scheduler.Add(SameAs(first, 2));
  EXPECT_THAT(scheduler.Plan()->admitted, IsEmpty());
  scheduler.Remove(1);
  const auto step = scheduler.Plan();
  EXPECT_THAT(Ids(step->admitted), ElementsAre(2));
  EXPECT_EQ(step->plan.added[0].position, 0);
}

TEST(SharingTest, PagesBehindBadLogitsAreNeverFound) {
  Scheduler scheduler(Options());
  const SequenceSpec first = Spec(1, 200, 8);
  scheduler.Add(first);
  ASSERT_TRUE(scheduler.Plan());
  scheduler.CompleteStep({{.ids = {0}, .finite = false}});
  scheduler.Remove(1);
  scheduler.SetStepDone(1);
  scheduler.Add(SameAs(first, 2));
  EXPECT_EQ(scheduler.Plan()->plan.added[0].position, 0);
}

TEST(SharingTest, SaltsAndUnwillingReadersComputeThemselves) {
  Scheduler scheduler(Options());
  const SequenceSpec first = Spec(1, 200, 8);
  scheduler.Add(first);
  RunStep(scheduler);
  SequenceSpec salted = SameAs(first, 2);
  salted.cache_salt = "tenant";
  scheduler.Add(salted);
  EXPECT_EQ(RunStep(scheduler)->plan.added[0].position, 0);
  SequenceSpec unwilling = SameAs(first, 3);
  unwilling.read_prefix_cache = false;
  scheduler.Add(unwilling);
  EXPECT_EQ(RunStep(scheduler)->plan.added[0].position, 0);
  EXPECT_EQ(scheduler.Load().prefix_tokens_queried, 400);
}

TEST(SharingTest, PagesOfTheEndedCountAsFreeAndGoWhenNeeded) {
  SchedulerOptions options = Options();
  options.num_pages = 9;
  options.max_model_len = 512;
  Scheduler scheduler(options);
  const SequenceSpec first = Spec(1, 256, 8);
  scheduler.Add(first);
  RunStep(scheduler);
  scheduler.Remove(1);
  EXPECT_EQ(scheduler.Load().pages_used, 0);
  EXPECT_EQ(scheduler.Load().pages_cached, 4);
  scheduler.Add(Spec(2, 450, 8));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(2));
  EXPECT_EQ(scheduler.Load().pages_cached, 0);
  scheduler.Remove(2);
  scheduler.Add(SameAs(first, 3));
  EXPECT_EQ(RunStep(scheduler)->plan.added[0].position, 0);
}

// n sequences of one prompt.
void AddChoices(Scheduler& scheduler, const SequenceSpec& first, int n) {
  for (int choice = 0; choice < n; ++choice) {
    SequenceSpec spec = SameAs(first, first.id + choice);
    spec.choice = static_cast<uint32_t>(choice);
    spec.prompt_group = 1;
    scheduler.Add(std::move(spec));
  }
}

TEST(SharingTest, ChoicesWaitForThePromptAndCopyItsLastPage) {
  SchedulerOptions options = Options();
  options.max_batched_tokens = 64;
  options.prefix_cache = false;
  Scheduler scheduler(options);
  AddChoices(scheduler, Spec(1, 100, 8), 3);
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(1));
  EXPECT_THAT(RunStep(scheduler)->admitted, IsEmpty()) << "the prompt is complete after this step";
  const auto step = RunStep(scheduler);
  EXPECT_THAT(Ids(step->admitted), ElementsAre(2, 3));
  EXPECT_EQ(step->num_prefill_tokens, 2) << "one id each";
  ASSERT_THAT(step->plan.page_copies, SizeIs(2));
  const std::vector<PageId> second = step->plan.pages[0].pages;
  const std::vector<PageId> third = step->plan.pages[1].pages;
  EXPECT_EQ(second[0], third[0]) << "the full page is shared";
  EXPECT_NE(second[1], third[1]);
  EXPECT_EQ(step->plan.page_copies[0].to, second[1]);
  EXPECT_EQ(step->plan.page_copies[0].from, step->plan.page_copies[1].from);
  EXPECT_EQ(step->plan.added[0].position, 99);
  EXPECT_EQ(step->admitted[0].cached_tokens, 0) << "sharing within a request is no cache hit";
  EXPECT_EQ(scheduler.Load().pages_used, 4);
}

TEST(SharingTest, NothingIsCopiedWhenTheLastTokenBeginsAPage) {
  Scheduler scheduler(Options());
  AddChoices(scheduler, Spec(1, 129, 8), 2);
  RunStep(scheduler);
  const auto step = RunStep(scheduler);
  EXPECT_THAT(Ids(step->admitted), ElementsAre(2));
  EXPECT_THAT(step->plan.page_copies, IsEmpty());
  EXPECT_EQ(step->plan.added[0].position, 128);
}

TEST(SharingTest, WhenTheFirstChoiceGoesTheNextComputesThePrompt) {
  SchedulerOptions options = Options();
  options.max_batched_tokens = 64;
  Scheduler scheduler(options);
  AddChoices(scheduler, Spec(1, 100, 8), 3);
  RunStep(scheduler);
  scheduler.Remove(1);
  const auto step = RunStep(scheduler);
  EXPECT_THAT(Ids(step->admitted), ElementsAre(2));
  EXPECT_EQ(step->num_prefill_tokens, 64);
  RunStep(scheduler);
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(3));
}

TEST(SharingTest, OthersAreLetInWhileChoicesWait) {
  SchedulerOptions options = Options();
  options.max_batched_tokens = 64;
  Scheduler scheduler(options);
  AddChoices(scheduler, Spec(1, 100, 8), 3);
  scheduler.Add(Spec(9, 300, 8));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(1));
  EXPECT_THAT(Ids(RunStep(scheduler)->admitted), ElementsAre(9));
}

}  // namespace
}  // namespace sluice::worker
