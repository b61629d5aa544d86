// SPDX-License-Identifier: Apache-2.0
// Random workloads against a model of a rank. The model keeps what each page's slots hold (a hash
// chain over the tokens of the sequence so far) and samples from it, so a page that two sequences
// share, a position that is skipped or a token that is wrong changes the output. Invariants checked
// on every plan: the budget, page 0, no page handed out while a step that names it may run, rows
// and positions consistent; and in the end: every sequence ended once with the output it has alone,
// no page or row leaked, within a bound on steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "worker/scheduler/scheduler.h"

namespace sluice::worker {
namespace {

uint64_t Mix(uint64_t hash, TokenId token) {
  hash ^= static_cast<uint64_t>(token) + 0x9e3779b97f4a7c15ull + (hash << 6) + (hash >> 2);
  hash *= 0xff51afd7ed558ccdull;
  return hash ^ (hash >> 33);
}
TokenId Draw(uint64_t hash) { return static_cast<TokenId>(hash % 1000); }

std::vector<TokenId> OutputAlone(const std::vector<TokenId>& prompt, int max_tokens) {
  uint64_t hash = 1;
  for (TokenId token : prompt) hash = Mix(hash, token);
  std::vector<TokenId> output;
  for (int i = 0; i < max_tokens; ++i) {
    output.push_back(Draw(hash));
    hash = Mix(hash, output.back());
  }
  return output;
}

// One rank: row table, page contents, plans not yet run.
class ModelRank {
 public:
  ModelRank(int num_rows, int num_pages) : rows_(num_rows), slots_(num_pages * kPageTokens) {}

  // Checks a plan when it is sent.
  void Check(const StepPlan& plan, int max_batched_tokens, StepId step_done) {
    EXPECT_EQ(plan.step, last_step_ + 1);
    last_step_ = plan.step;
    for (RowId row : plan.released_rows) {
      EXPECT_TRUE(sent_.count(row));
      sent_.erase(row);
    }
    for (const RowAdd& add : plan.added) {
      EXPECT_FALSE(sent_.count(add.row)) << "row is taken";
      sent_[add.row] = {};
    }
    for (const PagesAppend& append : plan.pages) {
      for (PageId page : append.pages) {
        ASSERT_GT(page, kScratchPage);
        ASSERT_LT(page * kPageTokens, static_cast<int>(slots_.size()));
        EXPECT_LE(last_named_[page], step_done) << "page " << page << " may still be in use";
        for (const auto& [row, pages] : sent_) {
          EXPECT_EQ(std::count(pages.begin(), pages.end(), page), 0) << "page has an owner";
        }
        ASSERT_TRUE(sent_.count(append.row));
        sent_[append.row].push_back(page);
      }
    }
    int num_tokens = 0;
    std::set<RowId> seen;
    for (const RowStep& row : plan.rows) {
      num_tokens += row.num_tokens();
      EXPECT_TRUE(seen.insert(row.row).second) << "row named twice";
      for (PageId page : sent_[row.row]) last_named_[page] = plan.step;
    }
    EXPECT_LE(num_tokens, max_batched_tokens);
  }

  std::vector<TokenId> Run(const StepPlan& plan) {
    for (const RowAdd& add : plan.added) rows_[add.row] = {.position = add.position};
    for (const PagesAppend& append : plan.pages) {
      auto& pages = rows_[append.row].pages;
      pages.insert(pages.end(), append.pages.begin(), append.pages.end());
    }
    std::vector<TokenId> sampled;
    for (const RowStep& step : plan.rows) {
      Row& row = rows_[step.row];
      const std::vector<TokenId> ids = step.ids.empty() ? std::vector{row.last} : step.ids;
      for (TokenId id : ids) {
        const uint64_t before = row.position == 0 ? 1 : Slot(row, row.position - 1);
        Slot(row, row.position) = Mix(before, id);
        ++row.position;
      }
      if (!step.sample) continue;
      row.last = Draw(Slot(row, row.position - 1));
      sampled.push_back(row.last);
    }
    return sampled;
  }

 private:
  struct Row {
    int position = 0;
    TokenId last = -1;
    std::vector<PageId> pages{};
  };
  uint64_t& Slot(const Row& row, int position) {
    return slots_[row.pages.at(position / kPageTokens) * kPageTokens + position % kPageTokens];
  }

  std::vector<Row> rows_;
  std::vector<uint64_t> slots_;
  std::map<RowId, std::vector<PageId>> sent_;  // the row table as of the last plan sent
  std::map<PageId, StepId> last_named_;
  StepId last_step_ = 0;
};

struct Workload {
  SchedulerOptions options;
  int depth = 2;       // steps in flight at once
  int report_lag = 2;  // steps that another rank's report may lag behind
  int num_sequences = 60;
  int max_prompt = 200;
  int max_output = 80;
  double cancel_chance = 0.0;
  double arrival_chance = 0.5;
};

class Simulation {
 public:
  Simulation(const Workload& workload, uint64_t seed)
      : load_(workload),
        random_(seed),
        scheduler_(workload.options),
        rank_(workload.options.max_rows, workload.options.num_pages) {}

  void Run() {
    int64_t work = 0;
    int64_t rounds = 0;
    while (added_ < load_.num_sequences || !scheduler_.empty()) {
      if (added_ < load_.num_sequences && Chance(load_.arrival_chance)) work += Arrive();
      if (Chance(load_.cancel_chance) && !live_.empty()) CancelOne();
      Advance();
      if (testing::Test::HasFatalFailure()) return;
      // Every round may idle for a lagging report or an arrival, and preempted work is computed
      // again: a wide factor, yet a stuck or starving scheduler never meets it.
      ASSERT_LT(++rounds, 2000 + 40 * work) << "no progress";
    }
    while (!in_flight_.empty()) Complete();
    scheduler_.SetStepDone(planned_);
    const SchedulerLoad load = scheduler_.Load();
    EXPECT_EQ(load.pages_used, 0);
    EXPECT_EQ(load.running, 0);
    EXPECT_EQ(load.waiting, 0);
    EXPECT_EQ(load.waiting_tokens, 0);
    EXPECT_EQ(load.free_rows, load_.options.max_rows);
    EXPECT_TRUE(live_.empty());
    EXPECT_EQ(ended_ + cancelled_, load_.num_sequences);
    preemptions = load.preemptions;
  }

  int64_t preemptions = 0;
  int peak_running = 0;

 private:
  struct Live {
    std::vector<TokenId> prompt;
    std::vector<TokenId> output;
    int max_tokens = 0;
  };

  bool Chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  int Between(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

  int Arrive() {
    const SequenceId id = ++added_;
    Live live;
    live.max_tokens = Between(1, load_.max_output);
    const int room = load_.options.max_model_len - live.max_tokens;
    const int prompt_length = Between(1, std::min(load_.max_prompt, room));
    for (int i = 0; i < prompt_length; ++i) live.prompt.push_back(Between(0, 999));
    const std::vector<TokenId> alone = OutputAlone(live.prompt, live.max_tokens);
    // Some arrive with output generated elsewhere.
    const int resumed = Chance(0.3) ? Between(0, live.max_tokens - 1) : 0;
    live.output.assign(alone.begin(), alone.begin() + resumed);
    scheduler_.Add({.id = id,
                    .priority = Between(0, 2),
                    .max_length = prompt_length + live.max_tokens,
                    .prompt = std::make_shared<const std::vector<TokenId>>(live.prompt),
                    .output = live.output,
                    .params = std::make_shared<const SamplingParams>()});
    const int work = prompt_length + live.max_tokens;
    live_[id] = std::move(live);
    return work;
  }

  void CancelOne() {
    auto victim = std::next(live_.begin(), Between(0, static_cast<int>(live_.size()) - 1));
    scheduler_.Remove(victim->first);
    live_.erase(victim);
    ++cancelled_;
  }

  void Advance() {
    if (static_cast<int>(in_flight_.size()) < load_.depth) {
      if (auto step = scheduler_.Plan()) {
        planned_ = step->plan.step;
        rank_.Check(step->plan, load_.options.max_batched_tokens, settled_);
        in_flight_.push_back(std::move(step->plan));
        peak_running = std::max(peak_running, scheduler_.Load().running);
        if (Chance(0.5)) return;
      }
    }
    if (!in_flight_.empty()) Complete();
    const StepId settled = std::max<StepId>(settled_, completed_ - Between(0, load_.report_lag));
    settled_ = settled;
    scheduler_.SetStepDone(settled_);
  }

  void Complete() {
    const StepPlan plan = std::move(in_flight_.front());
    in_flight_.pop_front();
    completed_ = plan.step;
    const std::vector<TokenId> sampled = rank_.Run(plan);
    const std::vector<SequenceId> ids = scheduler_.CompleteStep(sampled);
    ASSERT_EQ(ids.size(), sampled.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == kNoSequence) continue;
      ASSERT_TRUE(live_.count(ids[i])) << "an id for a sequence that ended";
      Live& live = live_[ids[i]];
      live.output.push_back(sampled[i]);
      if (static_cast<int>(live.output.size()) < live.max_tokens) continue;
      EXPECT_EQ(live.output, OutputAlone(live.prompt, live.max_tokens));
      scheduler_.Remove(ids[i]);
      live_.erase(ids[i]);
      ++ended_;
    }
  }

  const Workload load_;
  std::mt19937_64 random_;
  Scheduler scheduler_;
  ModelRank rank_;
  std::map<SequenceId, Live> live_;
  std::deque<StepPlan> in_flight_;
  StepId planned_ = 0;
  StepId completed_ = 0;
  StepId settled_ = 0;
  int added_ = 0;
  int ended_ = 0;
  int cancelled_ = 0;
};

class SchedulerSimulationTest : public testing::TestWithParam<int> {};

TEST_P(SchedulerSimulationTest, PlentyOfPages) {
  Workload workload{
      .options = {
          .max_rows = 16, .max_batched_tokens = 64, .num_pages = 200, .max_model_len = 512}};
  workload.depth = 1 + GetParam() % 2;
  workload.arrival_chance = 1.0;
  workload.max_prompt = 60;
  Simulation simulation(workload, GetParam());
  simulation.Run();
  EXPECT_EQ(simulation.peak_running, 16);
}

TEST_P(SchedulerSimulationTest, FewPagesForcePreemption) {
  Workload workload{.options = {.max_rows = 8,
                                .max_batched_tokens = 16 + GetParam() % 40,
                                .num_pages = 8,
                                .max_model_len = 7 * kPageTokens}};
  workload.depth = 1 + GetParam() % 2;
  workload.max_prompt = 100;
  workload.max_output = 300;
  workload.arrival_chance = 0.9;
  Simulation simulation(workload, 1000 + GetParam());
  simulation.Run();
  EXPECT_GT(simulation.preemptions, 0);
}

TEST_P(SchedulerSimulationTest, Cancels) {
  Workload workload{.options = {.max_rows = 8,
                                .max_batched_tokens = 24,
                                .num_pages = 12,
                                .max_model_len = 8 * kPageTokens}};
  workload.cancel_chance = 0.05;
  workload.max_output = 200;
  workload.report_lag = 4;
  Simulation simulation(workload, 2000 + GetParam());
  simulation.Run();
}

INSTANTIATE_TEST_SUITE_P(Seeds, SchedulerSimulationTest, testing::Range(0, 24));

}  // namespace
}  // namespace sluice::worker
