// SPDX-License-Identifier: Apache-2.0
// A rank whose model is arithmetic: the next id of a sequence is a function of its ids so far, so
// tests know every output beforehand; a prompt's id at position p has the score -p. What a position
// knows of the ids before it is kept in its page, so a row that begins behind a shared prefix reads
// what others computed. Steps run in Collect; tests can hold them, spoil a row's logits, or break
// the executor.
#pragma once

#include <atomic>
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
  int num = 0;

  void Append(TokenId id) {
    hash = hash * 1099511628211ull + static_cast<uint64_t>(id) + 1;
    last = id;
    ++num;
  }
  // repetitive: mostly the same few ids over and over.
  TokenId Next(bool repetitive = false) const {
    if (repetitive && (hash >> 40) % 6 != 0) return num % 5;
    return static_cast<TokenId>((hash >> 13) % kFakeVocab);
  }
};

inline std::vector<TokenId> Continuation(const std::vector<TokenId>& ids, int n,
                                         bool repetitive = false) {
  FakeState state;
  for (TokenId id : ids) state.Append(id);
  std::vector<TokenId> output;
  for (int i = 0; i < n; ++i) {
    output.push_back(state.Next(repetitive));
    state.Append(output.back());
  }
  return output;
}

class FakeExecutor final : public Executor {
 public:
  int num_pages() const override { return 1 << 24; }

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
    ++num_steps_;
    for (const RowAdd& add : plan.added) rows_[add.row] = {.position = add.position};
    for (const PagesAppend& append : plan.pages) {
      auto& pages = rows_[append.row].pages;
      pages.insert(pages.end(), append.pages.begin(), append.pages.end());
    }
    for (const PageCopy& copy : plan.page_copies) {
      for (int slot = 0; slot < kPageTokens; ++slot) {
        slots_[copy.to * kPageTokens + slot] = slots_[copy.from * kPageTokens + slot];
      }
    }
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
  void BeRepetitive() { repetitive_ = true; }

  // Tokens of all steps that have run.
  int num_computed() const { return num_computed_; }
  int num_steps() const { return num_steps_; }

 private:
  struct Row {
    int position = 0;
    TokenId sampled = -1;
    std::vector<PageId> pages{};
  };

  FakeState& Slot(const Row& row, int position) {
    return slots_[row.pages.at(static_cast<size_t>(position / kPageTokens)) * kPageTokens +
                  position % kPageTokens];
  }

  void Run(const RowStep& row, StepResult& result) {
    Row& own = rows_[row.row];
    if (row.num_prompt_logprobs > 0) {
      PromptLogprobs scores;
      scores.row = row.row;
      scores.first_position = own.position + 1;
      for (int i = 0; i < row.num_prompt_logprobs; ++i) {
        scores.logprobs.push_back({.logprob = -static_cast<float>(scores.first_position + i),
                                   .top_ids = {},
                                   .top_logprobs = {}});
        scores.bad_logits |= spoil_after_ && row.ids[static_cast<size_t>(i)] == *spoil_after_;
      }
      result.prompt_logprobs.push_back(std::move(scores));
    }
    FakeState state = own.position == 0 ? FakeState() : Slot(own, own.position - 1);
    num_computed_ += row.num_tokens();
    std::vector<TokenId> ids = row.ids.empty() ? std::vector{own.sampled} : row.ids;
    ids.insert(ids.end(), row.drafts.begin(), row.drafts.end());
    for (TokenId id : ids) {
      state.Append(id);
      Slot(own, own.position++) = state;
    }
    if (!row.sample) return;
    RowSample sample;
    sample.row = row.row;
    // Slots of drafts that do not hold are overwritten by the row's next step.
    own.position -= static_cast<int>(row.drafts.size());
    for (size_t i = 0;; ++i) {
      state = Slot(own, own.position - 1);
      sample.bad_logits = spoil_after_ && state.last == *spoil_after_;
      own.sampled = sample.bad_logits ? 0 : state.Next(repetitive_);
      if (sample.bad_logits) break;
      SampledToken token;
      token.id = own.sampled;
      token.logprobs.logprob = -1.0f;
      sample.tokens.push_back(token);
      if (i == row.drafts.size() || token.id != row.drafts[i]) break;
      ++own.position;
    }
    result.samples.push_back(std::move(sample));
  }

  std::deque<StepPlan> plans_;
  std::map<RowId, Row> rows_;
  std::map<int, FakeState> slots_;  // by page and slot
  std::atomic<int> num_computed_{0};
  std::atomic<int> num_steps_{0};
  bool repetitive_ = false;
  std::optional<TokenId> spoil_after_;

  std::mutex mutex_;
  std::condition_variable gate_;
  bool held_ = false;
  StepId hold_after_ = 0;
  bool broken_ = false;
};

}  // namespace sluice::worker
