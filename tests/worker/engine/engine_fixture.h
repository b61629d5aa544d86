// SPDX-License-Identifier: Apache-2.0
// An engine over fakes, with sinks that remember and threads that wait for them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <functional>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/worker/engine/fake_executor.h"
#include "worker/engine/engine.h"

namespace sluice::worker {

class RecordingSink final : public TokenSink {
 public:
  void OnChunk(ChoiceChunk chunk) override {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(num_done_, 0) << "a chunk after the end";
    EXPECT_EQ(ends_.count(chunk.choice), 0u) << "a chunk after the choice's last";
    auto& ids = ids_[chunk.choice];
    ids.insert(ids.end(), chunk.ids.begin(), chunk.ids.end());
    num_logprobs_ += static_cast<int>(chunk.logprobs.size());
    for (const TokenLogprobs& score : chunk.prompt_logprobs) {
      EXPECT_EQ(chunk.choice, 0);
      EXPECT_TRUE(ids_[0].empty()) << "scores come before the first id";
      prompt_logprobs_.push_back(score.logprob);
    }
    if (chunk.finish != FinishReason::kNone) ends_[chunk.choice] = chunk;
    changed_.notify_all();
  }
  void OnDone(const absl::Status& status) override {
    const std::lock_guard lock(mutex_);
    ++num_done_;
    status_ = status;
    changed_.notify_all();
  }

  absl::Status Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return num_done_ > 0; });
    EXPECT_EQ(num_done_, 1);
    return status_;
  }
  void WaitForIds(int choice, size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ids_[choice].size() >= n || num_done_ > 0; });
  }
  std::vector<TokenId> ids(int choice = 0) {
    const std::lock_guard lock(mutex_);
    return ids_[choice];
  }
  ChoiceChunk end(int choice = 0) {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(ends_.count(choice), 1u);
    return ends_[choice];
  }
  int num_logprobs() const { return num_logprobs_; }
  std::vector<float> prompt_logprobs() {
    const std::lock_guard lock(mutex_);
    return prompt_logprobs_;
  }
  int num_done() {
    const std::lock_guard lock(mutex_);
    return num_done_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, std::vector<TokenId>> ids_;
  std::map<int, ChoiceChunk> ends_;
  int num_logprobs_ = 0;
  std::vector<float> prompt_logprobs_;
  int num_done_ = 0;
  absl::Status status_;
};

class RecordingEvents final : public EngineEvents {
 public:
  void OnStep(const StepStats& stats) override {
    const std::lock_guard lock(mutex_);
    max_running_ = std::max(max_running_, stats.load.running);
  }
  void OnIdle(const SchedulerLoad& load) override {
    const std::lock_guard lock(mutex_);
    idle_ = load;
    ++num_idle_;
    changed_.notify_all();
  }
  void OnRequestDone(const RequestStats& stats) override {
    const std::lock_guard lock(mutex_);
    done_.push_back(stats);
    changed_.notify_all();
  }
  void OnRefused(const absl::Status&) override { ++num_refused; }
  void OnBadLogits() override { ++num_bad_logits; }

  SchedulerLoad WaitForIdle() {
    return WaitForIdle([](const SchedulerLoad&) { return true; });
  }
  // Until the engine idles with such a load: it may say that it is idle more than once.
  SchedulerLoad WaitForIdle(const std::function<bool(const SchedulerLoad&)>& is_awaited) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return num_idle_ > 0 && is_awaited(idle_); });
    return idle_;
  }
  // The first request's, once it has ended; its sink hears of the end a moment earlier.
  RequestStats WaitForDone() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !done_.empty(); });
    return done_[0];
  }
  std::vector<RequestStats> done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  int max_running() {
    const std::lock_guard lock(mutex_);
    return max_running_;
  }

  std::atomic<int> num_refused{0};
  std::atomic<int> num_bad_logits{0};

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  SchedulerLoad idle_;
  int num_idle_ = 0;
  int max_running_ = 0;
  std::vector<RequestStats> done_;
};

class FakeGroup final : public RankGroup {
 public:
  absl::Status Send(const StepPlan& plan) override {
    last_sent_ = plan.step;
    return absl::OkStatus();
  }
  StepId LastStepDoneByAll() const override { return last_done; }
  absl::Status Health() const override {
    return healthy ? absl::OkStatus() : absl::UnavailableError("rank 1 went away");
  }

  std::atomic<StepId> last_done{kMaxStep};
  std::atomic<bool> healthy{true};

 private:
  StepId last_sent_ = 0;
};

class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(std::chrono::nanoseconds(now_ns_.load())); }
  void Advance(std::chrono::nanoseconds by) { now_ns_ += by.count(); }

 private:
  std::atomic<int64_t> now_ns_{1'000'000'000};
};

class EngineFixture : public testing::Test {
 protected:
  static EngineOptions Options() {
    EngineOptions options;
    options.scheduler = {
        .max_rows = 8, .max_batched_tokens = 32, .num_pages = 64, .max_model_len = 256};
    options.limits = {.max_model_len = 256, .vocab_size = kFakeVocab};
    return options;
  }

  void StartEngine(EngineOptions options = Options()) {
    engine_ = std::make_unique<Engine>(std::move(options), executor_, group_, events_, clock_);
    engine_->Start();
  }

  static EngineRequest Request(const std::string& id, std::vector<TokenId> prompt, int max_tokens) {
    EngineRequest request;
    request.id = id;
    request.prompt = std::move(prompt);
    request.params.max_tokens = max_tokens;
    return request;
  }

  std::shared_ptr<RecordingSink> Submit(EngineRequest request) {
    auto sink = std::make_shared<RecordingSink>();
    const auto handle = engine_->Submit(std::move(request), sink);
    EXPECT_TRUE(handle.ok()) << handle.status();
    if (handle.ok()) last_handle_ = *handle;
    return sink;
  }

  FakeExecutor executor_;
  FakeGroup group_;
  RecordingEvents events_;
  FakeClock clock_;
  std::unique_ptr<Engine> engine_;
  RequestHandle last_handle_ = 0;
};

}  // namespace sluice::worker
