// SPDX-License-Identifier: Apache-2.0
// Refusals, broken rows, broken ranks, and the end of the engine itself.
#include "proto/wire/retry_after.h"
#include "tests/worker/engine/engine_fixture.h"

namespace sluice::worker {
namespace {

using testing::HasSubstr;

using EngineFailureTest = EngineFixture;

TEST_F(EngineFailureTest, BadLogitsFailThatRequestAlone) {
  const std::vector<TokenId> bad = Continuation({1, 2}, 10);
  executor_.SpoilAfter(bad[4]);
  executor_.HoldAfter(0);
  StartEngine();
  const auto spoiled = Submit(Request("a", {1, 2}, 50));
  const auto healthy = Submit(Request("b", {8, 8}, 50));
  executor_.Release();
  EXPECT_EQ(spoiled->Wait().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(spoiled->ids().size(), 5u) << "nothing meaningless was sent";
  EXPECT_TRUE(healthy->Wait().ok());
  EXPECT_EQ(healthy->ids(), Continuation({8, 8}, 50));
  EXPECT_EQ(events_.num_bad_logits, 1);
}

TEST_F(EngineFailureTest, BrokenExecutorEndsEverythingOnce) {
  std::atomic<int> failures{0};
  EngineOptions options = Options();
  options.on_failure = [&](const absl::Status&) { ++failures; };
  executor_.HoldAfter(2);
  StartEngine(options);
  const auto a = Submit(Request("a", {1}, 50));
  const auto b = Submit(Request("b", {2}, 50));
  a->WaitForIds(0, 1);
  executor_.Break();
  EXPECT_EQ(a->Wait().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(b->Wait().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(b->Wait().message()), HasSubstr("collective was aborted"));
  const auto late = engine_->Submit(Request("c", {1}, 1), std::make_shared<RecordingSink>());
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnavailable);
  engine_->Stop();
  EXPECT_EQ(failures, 1);
}

TEST_F(EngineFailureTest, LostRankIsSeenWithoutWork) {
  std::mutex mutex;
  std::condition_variable failed;
  absl::Status reason;
  EngineOptions options = Options();
  options.on_failure = [&](const absl::Status& status) {
    const std::lock_guard lock(mutex);
    reason = status;
    failed.notify_all();
  };
  StartEngine(options);
  group_.healthy = false;
  engine_->Wake();
  std::unique_lock lock(mutex);
  failed.wait(lock, [&] { return !reason.ok(); });
  EXPECT_THAT(std::string(reason.message()), HasSubstr("rank 1 went away"));
}

TEST_F(EngineFailureTest, PagesWaitForTheSlowestRank) {
  EngineOptions options = Options();
  options.scheduler.num_pages = 5;  // one sequence of full length
  group_.last_done = 0;
  StartEngine(options);
  EXPECT_TRUE(Submit(Request("a", std::vector<TokenId>(240, 1), 2))->Wait().ok());
  const auto second = Submit(Request("b", std::vector<TokenId>(240, 2), 2));
  EXPECT_EQ(second->num_done(), 0);
  group_.last_done = kMaxStep;
  engine_->Wake();
  EXPECT_TRUE(second->Wait().ok());
  EXPECT_EQ(second->ids(), Continuation(std::vector<TokenId>(240, 2), 2));
}

TEST_F(EngineFailureTest, PagesThatTheSlowestRankGivesBackLateAreTold) {
  group_.last_done = 0;
  StartEngine();
  EXPECT_TRUE(Submit(Request("a", std::vector<TokenId>(130, 1), 2))->Wait().ok());
  const SchedulerLoad early = events_.WaitForIdle();
  EXPECT_EQ(early.pages_retired, 3);
  EXPECT_EQ(early.pages_cached, 0);
  group_.last_done = kMaxStep;
  engine_->Wake();
  const SchedulerLoad late =
      events_.WaitForIdle([](const SchedulerLoad& load) { return load.pages_retired == 0; });
  EXPECT_EQ(late.pages_cached, 2) << "the full ones";
}

TEST_F(EngineFailureTest, FullQueueRefusesAtOnce) {
  EngineOptions options = Options();
  options.scheduler.max_rows = 2;
  options.bounds.max_sequences = 1;
  executor_.HoldAfter(0);
  StartEngine(options);
  const auto a = Submit(Request("a", {1}, 5));
  EngineRequest two = Request("b", {1}, 5);
  two.n = 2;
  const auto b = Submit(two);
  const auto refused = engine_->Submit(Request("c", {1}, 5), std::make_shared<RecordingSink>());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(wire::RetryAfter(refused.status()).has_value());
  EXPECT_EQ(events_.num_refused, 1);
  executor_.Release();
  EXPECT_TRUE(a->Wait().ok());
  EXPECT_TRUE(b->Wait().ok());
}

TEST_F(EngineFailureTest, DrainRefusesNewAndFinishesOld) {
  executor_.HoldAfter(0);
  StartEngine();
  const auto running = Submit(Request("a", {1}, 10));
  engine_->BeginDrain();
  const auto refused = engine_->Submit(Request("b", {1}, 5), std::make_shared<RecordingSink>());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(engine_->WaitIdle(std::chrono::nanoseconds(0)));
  executor_.Release();
  EXPECT_TRUE(engine_->WaitIdle(std::chrono::minutes(1)));
  EXPECT_TRUE(running->Wait().ok());
  EXPECT_EQ(running->ids().size(), 10u);
}

TEST_F(EngineFailureTest, StopEndsWhatStillRuns) {
  executor_.HoldAfter(3);
  StartEngine();
  const auto sink = Submit(Request("a", {1}, 200));
  sink->WaitForIds(0, 3);
  std::thread stopper([this] { engine_->Stop(); });
  executor_.Release();
  stopper.join();
  const absl::Status status = sink->Wait();
  EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kUnavailable) << status;
}

// Holds the engine's thread in its first chunk.
class HoldingSink final : public TokenSink {
 public:
  void OnChunk(ChoiceChunk) override {
    std::unique_lock lock(mutex_);
    entered_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
  }
  void OnDone(const absl::Status&) override {}
  void WaitUntilEntered() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return entered_; });
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool entered_ = false;
  bool released_ = false;
};

TEST_F(EngineFailureTest, StopEndsWhatWasAcceptedJustBefore) {
  StartEngine();
  const auto holding = std::make_shared<HoldingSink>();
  ASSERT_TRUE(engine_->Submit(Request("a", {1}, 200), holding).ok());
  holding->WaitUntilEntered();
  const auto accepted = Submit(Request("b", {2}, 5));
  std::thread stopper([this] { engine_->Stop(); });
  // An invalid request is refused for what it is until the engine stops.
  const auto refused = [this] {
    return engine_->Submit(Request("", {}, 5), std::make_shared<RecordingSink>()).status();
  };
  while (refused().code() != absl::StatusCode::kUnavailable) std::this_thread::yield();
  holding->Release();
  stopper.join();
  ASSERT_EQ(accepted->num_done(), 1);
  EXPECT_EQ(accepted->Wait().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(engine_->WaitIdle(std::chrono::nanoseconds(0)));
}

TEST_F(EngineFailureTest, BadLogitsInAPromptFailItsRequest) {
  executor_.SpoilAfter(77);
  StartEngine();
  EngineRequest request = Request("a", {1, 77, 2, 3}, 4);
  request.params.prompt_logprobs = 0;
  const auto bad = Submit(request);
  const auto good = Submit(Request("b", {1, 77, 2, 3}, 4));
  EXPECT_EQ(bad->Wait().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(good->Wait().ok());
  EXPECT_EQ(events_.num_bad_logits, 1);
}

}  // namespace
}  // namespace sluice::worker
