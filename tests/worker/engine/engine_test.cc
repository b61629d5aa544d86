// SPDX-License-Identifier: Apache-2.0
// What a caller sees of one request: ids, ends, usage.
#include "tests/worker/engine/engine_fixture.h"

namespace sluice::worker {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using EngineTest = EngineFixture;

std::vector<TokenId> Prefix(const std::vector<TokenId>& ids, size_t n) {
  return {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n)};
}

TEST_F(EngineTest, GeneratesUpToMaxTokens) {
  StartEngine();
  const auto sink = Submit(Request("a", {1, 2, 3}, 20));
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->ids(), Continuation({1, 2, 3}, 20));
  EXPECT_EQ(sink->end().finish, FinishReason::kLength);
  EXPECT_EQ(sink->end().usage.prompt_tokens, 3);
  EXPECT_EQ(sink->end().usage.completion_tokens, 20);
  const SchedulerLoad idle = events_.WaitForIdle();
  EXPECT_EQ(idle.pages_used, 0);
  EXPECT_EQ(idle.running, 0);
}

TEST_F(EngineTest, WithoutMaxTokensTheContextIsTheLimit) {
  StartEngine();
  const std::vector<TokenId> prompt(200, 5);
  const auto sink = Submit(Request("a", prompt, 0));
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->ids(), Continuation(prompt, 56));
  EXPECT_EQ(sink->end().finish, FinishReason::kLength);
}

TEST_F(EngineTest, ModelsOwnStopIdEndsWithIt) {
  const std::vector<TokenId> all = Continuation({4, 2}, 10);
  EngineOptions options = Options();
  options.limits.eos_ids = {all[3]};
  StartEngine(options);
  const auto sink = Submit(Request("a", {4, 2}, 10));
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->ids(), Prefix(all, 4));
  EXPECT_EQ(sink->end().finish, FinishReason::kStop);
  EXPECT_EQ(sink->end().stop_id, all[3]);
  EXPECT_EQ(sink->end().usage.completion_tokens, 4);

  EngineRequest ignoring = Request("b", {4, 2}, 10);
  ignoring.params.ignore_eos = true;
  const auto ignored = Submit(ignoring);
  EXPECT_TRUE(ignored->Wait().ok());
  EXPECT_EQ(ignored->ids(), all);

  ignoring.id = std::string("c");
  ignoring.params.stop_token_ids = {all[6]};
  const auto stopped = Submit(ignoring);
  EXPECT_TRUE(stopped->Wait().ok());
  EXPECT_EQ(stopped->ids(), Prefix(all, 7)) << "the request's own stop ids still hold";
  EXPECT_EQ(stopped->end().stop_id, all[6]);
}

TEST_F(EngineTest, LastIdThatIsAStopIdIsAStop) {
  const std::vector<TokenId> all = Continuation({4, 2}, 4);
  StartEngine();
  EngineRequest request = Request("a", {4, 2}, 4);
  request.params.stop_token_ids = {all[3]};
  const auto sink = Submit(request);
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->end().finish, FinishReason::kStop);
}

TEST_F(EngineTest, NoStopIdCountsBeforeMinTokens) {
  // The fake does not mask, so the id comes early and must not end the choice.
  const std::vector<TokenId> all = Continuation({4, 2}, 10);
  StartEngine();
  EngineRequest request = Request("a", {4, 2}, 10);
  request.params.stop_token_ids = {all[2], all[7]};
  request.params.min_tokens = 3;
  const auto sink = Submit(request);
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->ids(), Prefix(all, 8));
}

TEST_F(EngineTest, ContinuesWhatWasGeneratedElsewhere) {
  const std::vector<TokenId> all = Continuation({9}, 30);
  StartEngine();
  EngineRequest request = Request("a", {9}, 30);
  request.output = Prefix(all, 12);
  const auto sink = Submit(request);
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->ids(), std::vector<TokenId>(all.begin() + 12, all.end()));
  EXPECT_EQ(sink->end().usage.prompt_tokens, 1);
  EXPECT_EQ(sink->end().usage.completion_tokens, 30);
}

TEST_F(EngineTest, ContinuingWhatHasEndedEndsAtOnce) {
  StartEngine();
  EngineRequest at_limit = Request("a", {9}, 2);
  at_limit.output = {1, 2};
  const auto full = Submit(at_limit);
  EXPECT_TRUE(full->Wait().ok());
  EXPECT_THAT(full->ids(), IsEmpty());
  EXPECT_EQ(full->end().finish, FinishReason::kLength);
  EngineRequest at_stop = Request("b", {9}, 20);
  at_stop.output = {1, 2};
  at_stop.params.stop_token_ids = {2};
  const auto stopped = Submit(at_stop);
  EXPECT_TRUE(stopped->Wait().ok());
  EXPECT_EQ(stopped->end().finish, FinishReason::kStop);
  EXPECT_EQ(stopped->end().usage.completion_tokens, 2);
}

TEST_F(EngineTest, EveryChoiceHasItsOwnEnd) {
  StartEngine();
  EngineRequest request = Request("a", {7, 7}, 6);
  request.n = 3;
  request.params.logprobs = 0;
  const auto sink = Submit(request);
  EXPECT_TRUE(sink->Wait().ok());
  for (int choice = 0; choice < 3; ++choice) {
    EXPECT_EQ(sink->ids(choice), Continuation({7, 7}, 6));
    EXPECT_EQ(sink->end(choice).usage.completion_tokens, 6);
  }
  EXPECT_EQ(sink->num_logprobs(), 18);
}

TEST_F(EngineTest, ChoicesComputeTheirPromptOnce) {
  StartEngine();
  std::vector<TokenId> prompt(150, 3);
  EngineRequest request = Request("a", prompt, 6);
  request.n = 4;
  const auto sink = Submit(request);
  EXPECT_TRUE(sink->Wait().ok());
  for (int choice = 0; choice < 4; ++choice) {
    EXPECT_EQ(sink->ids(choice), Continuation(prompt, 6));
    EXPECT_EQ(sink->end(choice).usage.cached_tokens, 0) << "nothing was there before the request";
  }
  EXPECT_EQ(events_.WaitForIdle().pages_used, 0);
  EXPECT_LE(executor_.num_computed(), 150 + 3 + 4 * 6) << "the prompt, its last id, the answers";
}

TEST_F(EngineTest, UsageCountsWhatThePrefixCacheSaved) {
  StartEngine();
  std::vector<TokenId> prompt(150, 3);
  EXPECT_EQ(Submit(Request("a", prompt, 6))->Wait(), absl::OkStatus());
  prompt.resize(190, 4);
  EngineRequest second = Request("b", prompt, 6);
  const auto hit = Submit(second);
  EXPECT_TRUE(hit->Wait().ok());
  EXPECT_EQ(hit->ids(), Continuation(prompt, 6));
  EXPECT_EQ(hit->end().usage.cached_tokens, 128) << "two full pages are the same";
  EXPECT_EQ(hit->end().usage.prompt_tokens, 190);
  second.id = std::string("c");
  second.cache_salt = "another tenant";
  const auto miss = Submit(second);
  EXPECT_TRUE(miss->Wait().ok());
  EXPECT_EQ(miss->ids(), Continuation(prompt, 6));
  EXPECT_EQ(miss->end().usage.cached_tokens, 0);
}

TEST_F(EngineTest, WithoutThePrefixCacheNothingIsFound) {
  EngineOptions options = Options();
  options.scheduler.prefix_cache = false;
  StartEngine(options);
  for (const char* id : {"a", "b"}) {
    const auto sink = Submit(Request(id, std::vector<TokenId>(150, 3), 6));
    EXPECT_TRUE(sink->Wait().ok());
    EXPECT_EQ(sink->end().usage.cached_tokens, 0);
  }
}

TEST_F(EngineTest, TheFirstChoiceMayEndBeforeTheOthersBegin) {
  executor_.HoldAfter(1);
  StartEngine();
  const std::vector<TokenId> prompt(150, 3);
  EngineRequest request = Request("a", prompt, 6);
  request.n = 3;
  const auto sink = Submit(request);
  engine_->Cancel("a", {.choice = 0, .reason = CancelReason::kDisconnect});
  executor_.Release();
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->end(0).finish, FinishReason::kCancelled);
  for (int choice = 1; choice < 3; ++choice) EXPECT_EQ(sink->ids(choice), Continuation(prompt, 6));
}

TEST_F(EngineTest, PromptScoresComeOnceAndBeforeTheFirstId) {
  StartEngine();
  std::vector<TokenId> prompt(100);
  std::vector<float> expected;
  for (int i = 1; i < 100; ++i) expected.push_back(static_cast<float>(-i));
  EngineRequest request = Request("a", prompt, 5);
  request.n = 3;
  request.params.prompt_logprobs = 0;
  const auto sink = Submit(request);
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->prompt_logprobs(), expected);
  for (int choice = 0; choice < 3; ++choice) {
    EXPECT_EQ(sink->ids(choice), Continuation(prompt, 5));
  }
}

TEST_F(EngineTest, PromptScoresAreNotRepeatedAfterPreemption) {
  EngineOptions options = Options();
  options.scheduler.num_pages = 6;  // two requests of three pages do not fit
  executor_.HoldAfter(0);           // until all are there
  StartEngine(options);
  std::vector<float> expected;
  for (int i = 1; i < 100; ++i) expected.push_back(static_cast<float>(-i));
  const std::vector<TokenId> prompt(100, 3);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (const char* id : {"a", "b", "c"}) {
    EngineRequest request = Request(id, prompt, 90);
    request.params.prompt_logprobs = 2;
    sinks.push_back(Submit(request));
  }
  executor_.Release();
  for (const auto& sink : sinks) {
    EXPECT_TRUE(sink->Wait().ok());
    EXPECT_EQ(sink->prompt_logprobs(), expected);
    EXPECT_EQ(sink->ids(), Continuation(prompt, 90));
  }
  EXPECT_GT(events_.WaitForIdle().preemptions, 0);
}

TEST_F(EngineTest, StopStringCountsUpToTheMatch) {
  executor_.HoldAfter(10);
  StartEngine();
  const auto sink = Submit(Request("a", {3}, 200));
  sink->WaitForIds(0, 10);
  engine_->Cancel("a", {.reason = CancelReason::kStopString, .completion_tokens = 7});
  executor_.Release();
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->end().finish, FinishReason::kStop);
  EXPECT_FALSE(sink->end().stop_id.has_value());
  EXPECT_EQ(sink->end().usage.completion_tokens, 7);
  EXPECT_EQ(events_.WaitForIdle().pages_used, 0);
  const RequestStats done = events_.WaitForDone();
  EXPECT_EQ(done.completion_tokens, 7);
  EXPECT_EQ(done.dropped_tokens, static_cast<int>(sink->ids().size()) - 7);
  EXPECT_LE(sink->ids().size(), 11u) << "at most the running step's id came after the cancel";
}

TEST_F(EngineTest, CancelOfOneChoiceLeavesTheOthers) {
  executor_.HoldAfter(5);  // the second choice begins a step after the first
  StartEngine();
  EngineRequest request = Request("a", {3}, 20);
  request.n = 2;
  const auto sink = Submit(request);
  sink->WaitForIds(1, 4);
  engine_->Cancel("a", {.choice = 1, .reason = CancelReason::kDisconnect});
  engine_->Cancel("nobody", {});
  executor_.Release();
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->end(1).finish, FinishReason::kCancelled);
  EXPECT_EQ(sink->end(0).finish, FinishReason::kLength);
  EXPECT_EQ(sink->ids(0).size(), 20u);
  EXPECT_TRUE(events_.WaitForDone().cancelled);
}

TEST_F(EngineTest, AbandonedRequestFreesItsPages) {
  executor_.HoldAfter(5);
  StartEngine();
  const auto sink = Submit(Request("a", std::vector<TokenId>(100, 1), 0));
  const RequestHandle handle = last_handle_;
  sink->WaitForIds(0, 1);
  engine_->Abandon(handle, CancelReason::kDisconnect);
  executor_.Release();
  EXPECT_EQ(sink->Wait().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(events_.WaitForIdle().pages_used, 0);
}

TEST_F(EngineTest, DeadlineEndsTheRequest) {
  executor_.HoldAfter(3);
  StartEngine();
  EngineRequest request = Request("a", {1}, 200);
  request.deadline = clock_.Now() + std::chrono::seconds(5);
  const auto sink = Submit(request);
  sink->WaitForIds(0, 3);
  clock_.Advance(std::chrono::seconds(6));
  executor_.Release();
  EXPECT_EQ(sink->Wait().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EngineTest, RequestsNeedNoName) {
  executor_.HoldAfter(0);
  StartEngine();
  const auto a = Submit(Request("", {1}, 4));
  const auto b = Submit(Request("", {2}, 4));
  executor_.Release();
  EXPECT_TRUE(a->Wait().ok());
  EXPECT_TRUE(b->Wait().ok());
  EXPECT_EQ(b->ids(), Continuation({2}, 4));
}

TEST_F(EngineTest, NameMayBeUsedAgainAfterTheEnd) {
  StartEngine();
  executor_.HoldAfter(0);
  const auto first = Submit(Request("a", {1}, 2));
  const auto twin = engine_->Submit(Request("a", {1}, 2), std::make_shared<RecordingSink>());
  EXPECT_EQ(twin.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(twin.status().message()), HasSubstr("request_id"));
  executor_.Release();
  EXPECT_TRUE(first->Wait().ok());
  EXPECT_TRUE(Submit(Request("a", {1}, 2))->Wait().ok());
}

}  // namespace
}  // namespace sluice::worker
