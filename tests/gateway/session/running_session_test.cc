// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/running_session.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/gateway/session/collecting_sink.h"
#include "tests/gateway/session/real_tokenizer.h"
#include "tests/support/scripted_worker_client.h"

namespace sluice::gateway {
namespace {

using sluice::testing::ScriptedCall;
using sluice::testing::ScriptedWorkerClient;
using testing::CollectingSink;
using testing::RealTokenizer;

class RunningSessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_TOKENIZER();
    options_.tokenizer = RealTokenizer();
    options_.parser.prompt.state = Thinking::kClosed;
  }

  void Start(size_t prompts, int n) {
    std::vector<GenerateRequest> requests(prompts);
    for (GenerateRequest& request : requests) {
      request.n = n;
      request.prompt_ids = {1, 2, 3};
    }
    session_ = std::make_shared<RunningSession>(
        std::move(requests), std::vector<ChoiceStreamOptions>(prompts, options_), sink_);
    session_->Start(worker_);
  }

  ScriptedCall& call(size_t i = 0) { return *worker_.calls().at(i); }
  static std::vector<TokenId> Encode(const std::string& text) {
    return *RealTokenizer()->Encode(text);
  }

  ChoiceStreamOptions options_;
  ScriptedWorkerClient worker_;
  std::shared_ptr<CollectingSink> sink_ = std::make_shared<CollectingSink>();
  std::shared_ptr<RunningSession> session_;
};

TEST_F(RunningSessionTest, DeliversDeltasAndOneEnd) {
  Start(1, 1);
  EXPECT_EQ(session_->prompt_tokens(), 3);
  call().Ids(Encode("Hello"));
  EXPECT_EQ(sink_->choices[0].content, "Hello");
  call().Ids(Encode(" you"), 0, FinishReason::kLength);
  EXPECT_EQ(sink_->choices[0].end, ChoiceEnd::kLength);
  EXPECT_FALSE(sink_->end.has_value());
  call().Done();
  ASSERT_TRUE(sink_->end.has_value());
  EXPECT_TRUE(sink_->end->ok());
  EXPECT_EQ(sink_->usage.prompt_tokens, 3);
  EXPECT_EQ(sink_->usage.completion_tokens, 2);
}

TEST_F(RunningSessionTest, AStopStringStopsItsChoiceOnce) {
  options_.stop = {"END"};
  Start(1, 2);
  call().Ids(Encode("ab END cd"), 1);
  EXPECT_EQ(sink_->choices[1].end, ChoiceEnd::kStop);
  EXPECT_EQ(sink_->choices[1].content, "ab ");
  const int ids = sink_->choices[1].completion_tokens;
  EXPECT_EQ(call().stops(), (std::vector<std::pair<int, int>>{{1, ids}}));
  const size_t deltas = sink_->deltas.size();
  call().Ids(Encode("more END"), 1);
  call().Ids({}, 1, FinishReason::kStop);
  EXPECT_EQ(sink_->deltas.size(), deltas) << "what the worker generated beyond the stop is dropped";
  EXPECT_EQ(call().stops().size(), 1u);
  call().Ids(Encode("x"), 0, FinishReason::kLength);
  call().Done();
  EXPECT_TRUE(sink_->end->ok());
  EXPECT_EQ(sink_->usage.completion_tokens, ids + 1);
}

TEST_F(RunningSessionTest, AStopInTheLastChunkNeedsNoCall) {
  options_.stop = {"END"};
  Start(1, 1);
  call().Ids(Encode("ab END"), 0, FinishReason::kLength);
  EXPECT_TRUE(call().stops().empty());
  EXPECT_EQ(sink_->choices[0].end, ChoiceEnd::kStop);
}

TEST_F(RunningSessionTest, ChunksBeforeGenerateReturnsAreNotLost) {
  options_.stop = {"END"};
  TokenChunk chunk;
  chunk.ids = Encode("ab END");
  worker_.early_chunks = {chunk};
  Start(1, 1);
  EXPECT_EQ(sink_->choices[0].end, ChoiceEnd::kStop);
  EXPECT_EQ(call().stops().size(), 1u);
}

TEST_F(RunningSessionTest, ManyPromptsNumberTheirChoicesOneAfterAnother) {
  Start(2, 2);
  EXPECT_EQ(session_->prompt_tokens(), 6);
  call(1).Ids(Encode("b1"), 1, FinishReason::kLength);
  call(0).Ids(Encode("a0"), 0, FinishReason::kLength);
  call(1).Ids(Encode("b0"), 0, FinishReason::kLength);
  call(1).Done();
  EXPECT_FALSE(sink_->end.has_value());
  TokenChunk last;
  last.choice = 1;
  last.ids = Encode("a1");
  last.finish = FinishReason::kLength;
  last.usage.cached_tokens = 2;
  call(0).Chunk(last);
  call(0).Done();
  EXPECT_TRUE(sink_->end->ok());
  EXPECT_EQ(sink_->choices[0].content, "a0");
  EXPECT_EQ(sink_->choices[1].content, "a1");
  EXPECT_EQ(sink_->choices[2].content, "b0");
  EXPECT_EQ(sink_->choices[3].content, "b1");
  EXPECT_EQ(sink_->usage.cached_tokens, 2);
}

TEST_F(RunningSessionTest, AnErrorOfOneCallEndsAll) {
  Start(2, 1);
  call(0).Done(absl::ResourceExhaustedError("queue full"));
  EXPECT_EQ(call(1).cancelled(), CancelReason::kDisconnect);
  call(1).Ids(Encode("x"));
  EXPECT_TRUE(sink_->deltas.empty());
  call(1).Done(absl::CancelledError());
  EXPECT_EQ(*sink_->end, absl::ResourceExhaustedError("queue full"));
}

TEST_F(RunningSessionTest, AFailureAfterTheLastChoiceTakesNothingFromTheClient) {
  Start(1, 1);
  call().Ids(Encode("x"), 0, FinishReason::kLength);
  call().Done(absl::UnavailableError("rank died"));
  EXPECT_TRUE(sink_->end->ok());
}

TEST_F(RunningSessionTest, AnUnfinishedChoiceIsAnError) {
  Start(1, 2);
  call().Ids(Encode("x"), 0, FinishReason::kLength);
  call().Done();
  EXPECT_EQ(sink_->end->code(), absl::StatusCode::kInternal);
}

TEST_F(RunningSessionTest, AnUnknownChoiceIsAnError) {
  Start(1, 1);
  call().Ids(Encode("x"), 1);
  EXPECT_TRUE(call().cancelled().has_value());
  call().Done(absl::CancelledError());
  EXPECT_EQ(sink_->end->code(), absl::StatusCode::kInternal);
}

TEST_F(RunningSessionTest, CancelEndsWithItsReason) {
  for (const CancelReason reason : {CancelReason::kDisconnect, CancelReason::kDeadline}) {
    sink_ = std::make_shared<CollectingSink>();
    const size_t index = worker_.calls().size();
    Start(1, 1);
    call(index).Ids(Encode("x"));
    session_->Cancel(reason);
    session_->Cancel(reason);
    EXPECT_EQ(call(index).cancelled(), reason);
    EXPECT_FALSE(sink_->end.has_value()) << "the worker still frees its pages";
    call(index).Ids(Encode("y"));
    EXPECT_EQ(sink_->choices[0].content, "x");
    TokenChunk chunk;
    chunk.finish = FinishReason::kCancelled;
    call(index).Chunk(chunk);
    call(index).Done(absl::CancelledError());
    EXPECT_EQ(sink_->end->code(), reason == CancelReason::kDeadline
                                      ? absl::StatusCode::kDeadlineExceeded
                                      : absl::StatusCode::kCancelled);
  }
}

TEST_F(RunningSessionTest, TheSinkMayCancelFromInsideADelta) {
  Start(1, 1);
  sink_->on_delta = [this] { session_->Cancel(CancelReason::kDisconnect); };
  call().Ids(Encode("x"));
  call().Ids(Encode("y"));
  EXPECT_EQ(sink_->deltas.size(), 1u);
  call().Done(absl::CancelledError());
  EXPECT_EQ(sink_->end->code(), absl::StatusCode::kCancelled);
}

TEST_F(RunningSessionTest, AWorkerThatGivesUpByItselfIsUnavailable) {
  Start(1, 1);
  TokenChunk chunk;
  chunk.finish = FinishReason::kCancelled;
  call().Chunk(chunk);
  call().Done(absl::CancelledError("shutdown"));
  EXPECT_EQ(sink_->end->code(), absl::StatusCode::kUnavailable);
}

TEST_F(RunningSessionTest, NothingIsKeptAlive) {
  Start(1, 1);
  std::weak_ptr<RunningSession> weak = session_;
  session_.reset();
  EXPECT_FALSE(weak.expired()) << "the running call needs it";
  call().Ids(Encode("x"), 0, FinishReason::kLength);
  call().Done();
  worker_.Forget();
  EXPECT_TRUE(weak.expired()) << "the session and its call hold each other";
}

TEST_F(RunningSessionTest, CallsOnManyThreadsAndACancelEndOnce) {
  for (int round = 0; round < 30; ++round) {
    sink_ = std::make_shared<CollectingSink>();
    const size_t first = worker_.calls().size();
    Start(4, 2);
    const auto ids = Encode("one two three four five six");
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int choice = 0; choice < 2; ++choice) {
          for (const TokenId id : ids) call(first + i).Ids({id}, choice);
          call(first + i).Ids({}, choice, FinishReason::kLength);
        }
        call(first + i).Done();
      });
    }
    if (round % 2 == 0) threads.emplace_back([&] { session_->Cancel(CancelReason::kDisconnect); });
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(sink_->end.has_value());
    if (round % 2 == 1) {
      ASSERT_TRUE(sink_->end->ok());
      for (int i = 0; i < 8; ++i)
        ASSERT_EQ(sink_->choices[i].content, "one two three four five six");
    }
  }
}

}  // namespace
}  // namespace sluice::gateway
