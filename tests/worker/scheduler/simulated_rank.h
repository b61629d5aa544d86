// SPDX-License-Identifier: Apache-2.0
// A rank whose model is arithmetic over what its pages hold. Like attention, every token reads all
// slots before it through the row's page table, and what it writes depends on all of them: a page
// that is stale, wrong, overwritten or another tenant's changes every id that follows.
//
// Check looks at a plan when it is sent, Run at the contents when the step runs, later.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "worker/scheduler/scheduler.h"

namespace sluice::worker {

inline constexpr int kSimulatedVocab = 1000;
// Tenants from this one on mostly say the same few ids over and over.
inline constexpr int kRepetitiveTenants = 100;

// What a sequence's slots say of it so far.
struct SimulatedState {
  uint64_t sum = 0;
  int num_read = 0;
  bool repetitive = false;

  explicit SimulatedState(int tenant)
      : sum(static_cast<uint64_t>(tenant) + 1), repetitive(tenant >= kRepetitiveTenants) {}
  void Read(uint64_t slot) {
    sum = sum * 0x9e3779b97f4a7c15ull + slot;
    ++num_read;
  }
  uint64_t Write(TokenId id) {
    uint64_t slot = (sum ^ static_cast<uint64_t>(id)) * 0xff51afd7ed558ccdull;
    slot = (slot ^ (slot >> 33)) | 1;
    Read(slot);
    return slot;
  }
  TokenId Draw(uint32_t choice) const {
    if (repetitive && (sum >> 40) % 6 != 0) return num_read % 5;
    return static_cast<TokenId>(((sum >> 20) + choice * 7919) % kSimulatedVocab);
  }
};

inline std::vector<TokenId> SimulatedOutput(const std::vector<TokenId>& prompt, int tenant,
                                            uint32_t choice, int num_tokens) {
  SimulatedState state(tenant);
  for (TokenId id : prompt) state.Write(id);
  std::vector<TokenId> output;
  for (int i = 0; i < num_tokens; ++i) {
    output.push_back(state.Draw(choice));
    state.Write(output.back());
  }
  return output;
}

// What the model is told through fields that it has no other use for.
inline std::shared_ptr<SamplingParams> SimulatedParams(int tenant, int spoiled_from) {
  auto params = std::make_shared<SamplingParams>();
  params->top_k = tenant;
  params->min_tokens = spoiled_from + 1;  // 0: never; else positions from this one on are NaN
  return params;
}

class SimulatedRank {
 public:
  SimulatedRank(int num_rows, int num_pages)
      : sent_(static_cast<size_t>(num_rows)),
        rows_(static_cast<size_t>(num_rows)),
        num_holders_(static_cast<size_t>(num_pages)),
        last_named_(static_cast<size_t>(num_pages)),
        slots_(static_cast<size_t>(num_pages) * kPageTokens) {}

  // settled: every rank has reported this step.
  void Check(const StepPlan& plan, StepId settled) {
    EXPECT_EQ(plan.step, last_step_ + 1);
    last_step_ = plan.step;
    for (RowId row : plan.released_rows) {
      EXPECT_TRUE(sent(row).used) << "row " << row << " is released twice";
      for (PageId page : sent(row).pages) --num_holders_[static_cast<size_t>(page)];
      sent(row) = {};
    }
    for (const RowAdd& add : plan.added) {
      EXPECT_FALSE(sent(add.row).used) << "row " << add.row << " is taken";
      sent(add.row) = {.used = true, .position = add.position};
    }
    for (const PagesAppend& append : plan.pages) Append(append, settled);
    for (const PageCopy& copy : plan.page_copies) {
      EXPECT_GT(Holders(copy.from), 0) << "nobody keeps page " << copy.from << ", which is copied";
      EXPECT_EQ(Holders(copy.to), 1);
      last_named_[static_cast<size_t>(copy.from)] = plan.step;
    }
    std::vector<bool> seen(sent_.size());
    for (const RowStep& step : plan.rows) {
      EXPECT_FALSE(seen[static_cast<size_t>(step.row)]) << "row " << step.row << " named twice";
      seen[static_cast<size_t>(step.row)] = true;
      Row& row = sent(step.row);
      EXPECT_TRUE(row.used);
      for (PageId page : row.pages) last_named_[static_cast<size_t>(page)] = plan.step;
      const int end = row.position + step.num_tokens();
      EXPECT_TRUE(step.drafts.empty() || (step.ids.empty() && step.sample));
      EXPECT_FALSE(row.awaited) << "planned before it was known how many drafts held";
      row.awaited = !step.drafts.empty();
      ASSERT_LE(end, static_cast<int>(row.pages.size()) * kPageTokens);
      for (int page = row.position / kPageTokens; page * kPageTokens < end; ++page) {
        EXPECT_EQ(Holders(row.pages[static_cast<size_t>(page)]), 1)
            << "page " << row.pages[static_cast<size_t>(page)] << " is written while shared";
      }
      // As far as is known; Run adds the drafts that hold.
      row.position = end - static_cast<int>(step.drafts.size());
    }
  }

  std::vector<SampleOutcome> Run(const StepPlan& plan) {
    for (const RowAdd& add : plan.added) {
      Row& row = rows_[static_cast<size_t>(add.row)];
      row = {.used = true, .position = add.position};
      row.choice = add.sampling->choice;
      row.tenant = add.sampling->params.top_k;
      row.spoiled_from = add.sampling->params.min_tokens - 1;
    }
    for (const PagesAppend& append : plan.pages) {
      auto& pages = rows_[static_cast<size_t>(append.row)].pages;
      pages.insert(pages.end(), append.pages.begin(), append.pages.end());
    }
    for (const PageCopy& copy : plan.page_copies) {
      std::copy_n(slots_.begin() + copy.from * kPageTokens, kPageTokens,
                  slots_.begin() + copy.to * kPageTokens);
    }
    std::vector<SampleOutcome> outcomes;
    for (const RowStep& step : plan.rows) {
      SampleOutcome outcome = Compute(rows_[static_cast<size_t>(step.row)], step);
      if (!step.sample) continue;
      if (!step.drafts.empty()) {
        const int num_accepted = std::max(0, static_cast<int>(outcome.ids.size()) - 1);
        rows_[static_cast<size_t>(step.row)].position += num_accepted;
        sent(step.row).position += num_accepted;
        sent(step.row).awaited = false;
      }
      outcomes.push_back(std::move(outcome));
    }
    return outcomes;
  }

  // Distinct pages in the rows' tables, as of the last plan sent.
  int num_pages_held() const {
    return static_cast<int>(
        std::count_if(num_holders_.begin(), num_holders_.end(), [](int n) { return n > 0; }));
  }

 private:
  static constexpr uint64_t kNan = 0;  // no written slot is even

  struct Row {
    bool used = false;
    int position = 0;
    std::vector<PageId> pages{};
    TokenId last = -1;
    uint32_t choice = 0;
    int tenant = 0;
    int spoiled_from = -1;
    bool awaited = false;  // a step with drafts has not run
  };

  Row& sent(RowId row) { return sent_[static_cast<size_t>(row)]; }
  int Holders(PageId page) const { return num_holders_[static_cast<size_t>(page)]; }

  // Pages below the row's first position hold what others computed; the rest will be written.
  void Append(const PagesAppend& append, StepId settled) {
    Row& row = sent(append.row);
    ASSERT_TRUE(row.used);
    for (PageId page : append.pages) {
      ASSERT_GT(page, kScratchPage);
      ASSERT_LT(static_cast<size_t>(page), num_holders_.size());
      const bool written = static_cast<int>(row.pages.size()) >= row.position / kPageTokens;
      if (written) {
        EXPECT_EQ(Holders(page), 0) << "page " << page << " has an owner";
        EXPECT_LE(last_named_[static_cast<size_t>(page)], settled)
            << "page " << page << " may still be in use";
      }
      ++num_holders_[static_cast<size_t>(page)];
      row.pages.push_back(page);
    }
  }

  SampleOutcome Compute(Row& row, const RowStep& step) {
    SampleOutcome outcome;
    SimulatedState state(row.tenant);
    bool finite = true;
    for (int i = 0; i < row.position; ++i) {
      const uint64_t slot = Slot(row, i);
      finite &= slot != kNan;
      state.Read(slot);
    }
    EXPECT_TRUE(finite || row.spoiled_from >= 0) << "a NaN reached another request";
    std::vector<TokenId> ids = step.ids.empty() ? std::vector{row.last} : step.ids;
    const size_t first_sample = ids.size() - 1;
    ids.insert(ids.end(), step.drafts.begin(), step.drafts.end());
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool spoiled = row.spoiled_from >= 0 && row.position >= row.spoiled_from;
      finite &= !spoiled;
      const uint64_t slot = state.Write(ids[i]);
      Slot(row, row.position) = spoiled ? kNan : slot;
      ++row.position;
      // Samples count as long as each is what the next draft says.
      const bool counts = outcome.finite && i == first_sample + outcome.ids.size() &&
                          (i == first_sample || row.last == ids[i]);
      if (!counts) continue;
      outcome.finite = finite;
      row.last = finite ? state.Draw(row.choice) : 0;
      if (finite) outcome.ids.push_back(row.last);
    }
    row.position -= static_cast<int>(step.drafts.size());
    return outcome;
  }

  uint64_t& Slot(const Row& row, int position) {
    const PageId page = row.pages[static_cast<size_t>(position / kPageTokens)];
    return slots_[static_cast<size_t>(page * kPageTokens + position % kPageTokens)];
  }

  std::vector<Row> sent_;  // the row table as of the last plan sent
  std::vector<Row> rows_;  // as of the last step run
  std::vector<int> num_holders_;
  std::vector<StepId> last_named_;
  std::vector<uint64_t> slots_;
  StepId last_step_ = 0;
};

}  // namespace sluice::worker
