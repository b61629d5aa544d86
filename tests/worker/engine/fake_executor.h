// SPDX-License-Identifier: Apache-2.0
// A rank whose model is arithmetic: the next id of a sequence is a function of its ids so far, so
// tests know every output beforehand. Steps run in Collect; tests can hold them, spoil a row's
// logits, or break the executor.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "worker/executor/executor.h"

namespace sluice::worker {

inline constexpr int kFakeVocab = 1000;

// The model: a hash over the ids so far says what follows them.
struct FakeState {
  uint64_t hash = 17;
  TokenId last = -1;

  void Append(TokenId id) {
    hash = hash * 1099511628211ull + static_cast<uint64_t>(id) + 1;
    last = id;
  }
  TokenId Next() const { return static_cast<TokenId>((hash >> 13) % kFakeVocab); }
};

inline std::vector<TokenId> Continuation(const std::vector<TokenId>& ids, int n) {
  FakeState state;
  for (TokenId id : ids) state.Append(id);
  std::vector<TokenId> output;
  for (int i = 0; i < n; ++i) {
    output.push_back(state.Next());
    state.Append(output.back());
  }
  return output;
}

class FakeExecutor final : public Executor {
 public:
  absl::Status Submit(StepPlan plan) override {
    plans_.push_back(std::move(plan));
    return plans_.size() <= 2 ? absl::OkStatus() : absl::InternalError("three steps in flight");
  }

  absl::StatusOr<StepResult> Collect(StepId step) override {
    {
      std::unique_lock lock(mutex_);
      gate_.wait(lock, [&] { return !held_ || step <= hold_after_; });
      if (broken_) return absl::CancelledError("the collective was aborted");
    }
    const StepPlan plan = std::move(plans_.front());
    plans_.pop_front();
    if (plan.step != step) return absl::InternalError("collected out of order");
    StepResult result;
    result.step = step;
    result.duration = std::chrono::milliseconds(1);
    for (const RowAdd& add : plan.added) rows_[add.row] = {};
    for (const RowStep& row : plan.rows) Run(row, result);
    return result;
  }

  // Steps after this one wait in Collect until Release.
  void HoldAfter(StepId step) {
    const std::lock_guard lock(mutex_);
    held_ = true;
    hold_after_ = step;
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    gate_.notify_all();
  }
  void Break() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    held_ = false;
    gate_.notify_all();
  }
  // Rows whose sequence ends with this id have NaN logits.
  void SpoilAfter(TokenId id) { spoil_after_ = id; }

 private:
  void Run(const RowStep& row, StepResult& result) {
    FakeState& state = rows_[row.row];
    for (TokenId id : row.ids) state.Append(id);
    // A decode's id was appended when it was sampled.
    if (!row.sample) return;
    RowSample sample;
    sample.row = row.row;
    for (size_t i = 0; i <= row.drafts.size(); ++i) {
      sample.bad_logits = spoil_after_ && state.last == *spoil_after_;
      if (sample.bad_logits) {
        state.Append(0);
        break;
      }
      SampledToken token;
      token.id = state.Next();
      token.logprobs.logprob = -1.0f;
      state.Append(token.id);
      sample.tokens.push_back(token);
      if (i < row.drafts.size() && token.id != row.drafts[i]) break;
    }
    result.samples.push_back(std::move(sample));
  }

  std::deque<StepPlan> plans_;
  std::map<RowId, FakeState> rows_;
  std::optional<TokenId> spoil_after_;

  std::mutex mutex_;
  std::condition_variable gate_;
  bool held_ = false;
  StepId hold_after_ = 0;
  bool broken_ = false;
};

}  // namespace sluice::worker
