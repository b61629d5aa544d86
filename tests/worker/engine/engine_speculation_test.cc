// SPDX-License-Identifier: Apache-2.0
// Requests with speculation: what they are told is what they are told without it, in fewer steps.
#include "tests/worker/engine/engine_fixture.h"

namespace sluice::worker {
namespace {

const std::vector<TokenId> kPrompt = {1, 2, 3, 4};

class EngineSpeculationTest : public EngineFixture {
 protected:
  EngineSpeculationTest() { executor_.BeRepetitive(); }

  static EngineOptions Speculating(int max_drafts = 8) {
    EngineOptions options = Options();
    options.scheduler.max_drafts = max_drafts;
    options.scheduler.speculation_max_rows = 8;
    return options;
  }
  static std::vector<TokenId> Expected(int n) { return Continuation(kPrompt, n, true); }
  SchedulerLoad Idle() {
    const SchedulerLoad load = events_.WaitForIdle();
    EXPECT_EQ(load.pages_used, 0);
    EXPECT_EQ(load.running, 0);
    EXPECT_EQ(load.free_rows, 8);
    return load;
  }
};

TEST_F(EngineSpeculationTest, RepeatedTextTakesFewerStepsThanTokens) {
  StartEngine(Speculating());
  EngineRequest request = Request("a", kPrompt, 200);
  request.params.logprobs = 0;
  const auto sink = Submit(std::move(request));
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->ids(), Expected(200));
  EXPECT_EQ(sink->num_logprobs(), 200) << "one for every accepted id";
  EXPECT_EQ(sink->end().finish, FinishReason::kLength);
  EXPECT_EQ(sink->end().usage.completion_tokens, 200);
  const SchedulerLoad load = Idle();
  EXPECT_LT(executor_.num_steps(), 160);
  EXPECT_GT(load.accepted_tokens, 40);
  EXPECT_EQ(executor_.num_steps() + load.accepted_tokens, 200);
  EXPECT_GT(load.drafted_tokens, load.accepted_tokens);
  // The prompt, then every id but the last, and the drafts that did not hold.
  EXPECT_EQ(executor_.num_computed(), 4 + 199 + load.drafted_tokens - load.accepted_tokens);
}

TEST_F(EngineSpeculationTest, WithoutItEveryStepGivesOneToken) {
  StartEngine(Speculating(0));
  const auto sink = Submit(Request("a", kPrompt, 100));
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->ids(), Expected(100));
  EXPECT_EQ(Idle().drafted_tokens, 0);
  EXPECT_EQ(executor_.num_steps(), 100);
}

TEST_F(EngineSpeculationTest, LimitsAreMetExactly) {
  StartEngine(Speculating());
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int n = 1; n <= 60; ++n) sinks.push_back(Submit(Request("", kPrompt, n)));
  sinks.push_back(Submit(Request("", kPrompt, 0)));  // up to the context
  for (int n = 1; n <= 60; ++n) {
    EXPECT_TRUE(sinks[n - 1]->Wait().ok());
    EXPECT_EQ(sinks[n - 1]->ids(), Expected(n));
  }
  EXPECT_TRUE(sinks.back()->Wait().ok());
  EXPECT_EQ(sinks.back()->ids(), Expected(252));
  EXPECT_GT(Idle().accepted_tokens, 0);
}

TEST_F(EngineSpeculationTest, AStopIdAmongAcceptedOnesEndsTheChoiceThere) {
  // At least once in the loop, so that it is met among drafts.
  const TokenId stop = 3;
  for (int min_tokens = 0; min_tokens < 60; ++min_tokens) {
    const auto all = Expected(200);
    auto last = all.begin() + min_tokens;
    while (*last != stop) ++last;
    const std::vector<TokenId> expected(all.begin(), last + 1);
    if (engine_ == nullptr) StartEngine(Speculating());
    EngineRequest request = Request("", kPrompt, 200);
    request.params.stop_token_ids = {stop};
    request.params.min_tokens = min_tokens;
    const auto sink = Submit(std::move(request));
    EXPECT_TRUE(sink->Wait().ok());
    EXPECT_EQ(sink->ids(), expected) << min_tokens;
    EXPECT_EQ(sink->end().finish, FinishReason::kStop);
    EXPECT_EQ(sink->end().stop_id, stop);
    EXPECT_EQ(sink->end().usage.completion_tokens, static_cast<int>(expected.size()));
  }
  EXPECT_GT(Idle().accepted_tokens, 0);
}

TEST_F(EngineSpeculationTest, BadLogitsAmongDraftsFailTheRequestBehindTheGoodIds) {
  const auto all = Expected(200);
  // An id that is not of the loop, late enough for drafts.
  auto bad = all.begin() + 40;
  while (*bad < 5 || std::find(all.begin(), bad, *bad) != bad) ++bad;
  executor_.SpoilAfter(*bad);
  StartEngine(Speculating());
  const auto sink = Submit(Request("a", kPrompt, 200));
  EXPECT_EQ(sink->Wait().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(sink->ids(), std::vector<TokenId>(all.begin(), bad + 1));
  EXPECT_EQ(events_.num_bad_logits, 1);
  EXPECT_GT(Idle().accepted_tokens, 0);
}

TEST_F(EngineSpeculationTest, ACancelWhileDraftsAreComputedFreesEverything) {
  for (StepId step = 8; step < 30; ++step) {
    SCOPED_TRACE(step);
    FakeExecutor executor;
    executor.BeRepetitive();
    RecordingEvents events;
    executor.HoldAfter(step);
    Engine engine(Speculating(), executor, group_, events, clock_);
    engine.Start();
    auto sink = std::make_shared<RecordingSink>();
    ASSERT_TRUE(engine.Submit(Request("a", kPrompt, 200), sink).ok());
    sink->WaitForIds(0, static_cast<size_t>(step));
    engine.Cancel("a", {.reason = CancelReason::kStopString, .completion_tokens = 5});
    executor.Release();
    EXPECT_TRUE(sink->Wait().ok());
    EXPECT_EQ(sink->end().usage.completion_tokens, 5);
    const SchedulerLoad load = events.WaitForIdle();
    EXPECT_EQ(load.pages_used, 0);
    EXPECT_EQ(load.running, 0);
  }
}

TEST_F(EngineSpeculationTest, ManyRequestsWithFewPagesGetTheirOwnAnswers) {
  EngineOptions options = Speculating();
  options.scheduler.num_pages = 8;  // preempts
  executor_.HoldAfter(0);           // until all are there
  StartEngine(options);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (TokenId i = 0; i < 24; ++i) {
    EngineRequest request = Request("", {i, 7}, 150);
    request.n = 1 + i % 2;
    sinks.push_back(Submit(std::move(request)));
  }
  executor_.Release();
  for (TokenId i = 0; i < 24; ++i) {
    EXPECT_TRUE(sinks[i]->Wait().ok());
    EXPECT_EQ(sinks[i]->ids(0), Continuation({i, 7}, 150, true)) << i;
  }
  const SchedulerLoad load = Idle();
  EXPECT_GT(load.accepted_tokens, 0);
  EXPECT_GT(load.preemptions, 0);
}

}  // namespace
}  // namespace sluice::worker
