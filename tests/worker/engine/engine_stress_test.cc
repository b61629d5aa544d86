// SPDX-License-Identifier: Apache-2.0
// Many threads submit, cancel and abandon at random: every accepted request ends exactly once,
// those left alone get exactly what they get alone, and nothing leaks. Also the test that
// ThreadSanitizer watches.
#include <random>
#include <thread>

#include "tests/worker/engine/engine_fixture.h"

namespace sluice::worker {
namespace {

using EngineStressTest = EngineFixture;

TEST_F(EngineStressTest, EveryRequestEndsOnce) {
  EngineOptions options = Options();
  options.scheduler.num_pages = 12;  // forces preemption
  options.bounds.max_sequences = 20;
  StartEngine(options);
  constexpr int kThreads = 8;
  constexpr int kRequests = 60;
  std::atomic<int> accepted{0};
  std::atomic<int> ended{0};
  const auto client = [&](int thread) {
    std::mt19937 random(static_cast<unsigned>(thread));
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    for (int i = 0; i < kRequests; ++i) {
      const std::string id = std::to_string(thread) + "/" + std::to_string(i);
      // Few different first tokens: many prompts share pages.
      std::vector<TokenId> prompt(static_cast<size_t>(1 + below(120)), below(2));
      prompt.resize(prompt.size() + static_cast<size_t>(below(40)), below(kFakeVocab));
      const int max_tokens = 1 + below(90);
      EngineRequest request = Request(id, prompt, max_tokens);
      request.n = 1 + below(3);
      request.cache_salt = std::to_string(below(2));
      request.priority = below(3);
      const int n = request.n;
      auto sink = std::make_shared<RecordingSink>();
      const auto handle = engine_->Submit(std::move(request), sink);
      if (!handle.ok()) {
        EXPECT_EQ(handle.status().code(), absl::StatusCode::kResourceExhausted);
        continue;
      }
      ++accepted;
      const int fate = below(4);
      if (fate == 0) engine_->Abandon(*handle, CancelReason::kDisconnect);
      if (fate == 1) {
        sink->WaitForIds(0, 1);
        engine_->Cancel(id, {.reason = CancelReason::kStopString, .completion_tokens = 1});
      }
      const absl::Status status = sink->Wait();
      ++ended;
      if (fate < 2) continue;
      EXPECT_TRUE(status.ok()) << status;
      for (int choice = 0; choice < n; ++choice) {
        EXPECT_EQ(sink->ids(choice), Continuation(prompt, max_tokens));
      }
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(client, thread);
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(engine_->WaitIdle(std::chrono::minutes(1)));
  engine_->Stop();
  EXPECT_GT(accepted, kThreads);
  EXPECT_EQ(accepted, ended);
  EXPECT_EQ(events_.done().size(), static_cast<size_t>(accepted));
  EXPECT_EQ(events_.WaitForIdle().pages_used, 0);
  EXPECT_GT(events_.max_running(), 1);
}

}  // namespace
}  // namespace sluice::worker
