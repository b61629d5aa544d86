// SPDX-License-Identifier: Apache-2.0
// The scheduler under thousands of random workloads, on a virtual clock with modelled step times:
// pages plentiful or so few that sequences are preempted, prompts with shared prefixes, several
// choices, tenants, priorities, drafts, cancels at any moment, rows whose logits turn to NaN, ranks
// that report late. What must hold is checked on every plan (SimulatedRank::Check, CheckOrder) and
// at the end: every sequence ended once, with exactly what it generates alone, and nothing leaked.
//
// A failure names its seed; SLUICE_SIMULATION_SEED=N runs that workload alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <unordered_map>

#include "tests/worker/scheduler/simulated_rank.h"
#include "worker/scheduler/scheduler.h"

namespace sluice::worker {
namespace {

#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr int kNumWorkloads = 10'000;
#else
constexpr int kNumWorkloads = 300;
#endif
// Enough that what every block must meet is met by chance alone.
constexpr int kPerBlock = std::min(kNumWorkloads, 500);
constexpr int kNumBlocks = kNumWorkloads / kPerBlock;

using Microseconds = int64_t;
constexpr Microseconds kNever = std::numeric_limits<Microseconds>::max();

struct Workload {
  SchedulerOptions options;
  int depth = 2;       // steps in flight at once
  int report_lag = 0;  // most steps by which another rank's report may lag behind
  int num_requests = 64;
  int max_prompt = 150;
  int max_output = 40;
  int most_choices = 1;
  int num_tenants = 1;
  int first_tenant = 0;
  int num_priorities = 1;
  int num_shared_prefixes = 0;
  double spoiled = 0.0;       // share of the requests whose logits turn to NaN at some point
  Microseconds interval = 0;  // mean time between arrivals
};

// A third has so few pages that sequences must be preempted, half share prefixes.
Workload MakeWorkload(uint64_t seed, std::mt19937_64& random) {
  const auto between = [&](int low, int high) {
    return std::uniform_int_distribution<>(low, high)(random);
  };
  Workload load;
  load.num_requests = between(64, 80);
  load.depth = between(1, 2);
  load.report_lag = between(0, 2);
  load.interval = between(0, 4000);
  load.num_priorities = between(0, 1) == 0 ? 1 : 3;
  load.most_choices = between(0, 3) == 0 ? 4 : 1;
  load.num_tenants = between(0, 3) == 0 ? 2 : 1;
  load.spoiled = between(0, 3) == 0 ? 0.05 : 0.0;
  load.options.max_rows = between(2, 16);
  load.options.max_batched_tokens = load.options.max_rows + between(0, 100);
  load.options.max_prefill_tokens = between(0, 1) == 0 ? 0 : 256;
  load.options.prefix_cache = between(0, 7) != 0;
  if (seed % 5 < 2) {
    load.options.max_drafts = between(1, 8);
    load.options.speculation_max_rows = between(1, 10);
    load.first_tenant = between(0, 3) == 0 ? 0 : kRepetitiveTenants;
  }
  if (seed % 2 == 0) load.num_shared_prefixes = between(1, 4);
  if (seed % 3 == 0) {
    load.options.max_rows = between(4, 10);
    load.options.max_batched_tokens = load.options.max_rows + between(8, 60);
    load.max_prompt = 70;
    load.max_output = 150;
    load.num_requests = 64;
    load.interval = between(0, 500);
    load.options.max_model_len = 4 * kPageTokens;
    load.options.num_pages = 1 + between(4, 6);
  } else {
    load.options.max_model_len = 8 * kPageTokens;
    load.options.num_pages = 1 + between(8, 120);
  }
  return load;
}

class Simulation {
 public:
  explicit Simulation(uint64_t seed)
      : random_(seed),
        load_(MakeWorkload(seed, random_)),
        scheduler_(load_.options),
        rank_(load_.options.max_rows, load_.options.num_pages),
        owners_(static_cast<size_t>(load_.options.max_rows), kNoSequence) {
    for (int i = 0; i < load_.num_shared_prefixes; ++i) {
      prefixes_.push_back(Tokens(Between(20, load_.max_prompt)));
    }
  }

  void Run() {
    Arrive();
    // Preempted work is computed again: a wide bound, yet a scheduler that is stuck or lets one
    // sequence starve meets no end at all.
    while (num_arrived_ < load_.num_requests || !scheduler_.empty() || !in_flight_.empty()) {
      ASSERT_LT(++num_rounds_, 200'000) << "no end";
      Step();
      if (testing::Test::HasFailure()) return;
    }
    while (!reports_.empty()) Report();
    const SchedulerLoad load = scheduler_.Load();
    EXPECT_EQ(load.pages_used, 0);
    EXPECT_EQ(load.pages_retired, 0);
    EXPECT_EQ(load.running, 0);
    EXPECT_EQ(load.waiting, 0);
    EXPECT_EQ(load.waiting_tokens, 0);
    EXPECT_EQ(load.free_rows, load_.options.max_rows);
    EXPECT_TRUE(live_.empty());
    EXPECT_EQ(num_ended_, num_sequences_);
  }

  const Workload& workload() const { return load_; }
  SchedulerLoad Load() const { return scheduler_.Load(); }
  int num_cancelled() const { return num_cancelled_; }
  int num_spoiled() const { return num_spoiled_; }
  int num_copies() const { return num_copies_; }
  bool overtaken() const { return num_overtaken_ > 0; }
  bool awaited_pages() const { return num_awaiting_ > 0; }

 private:
  struct Live {
    int64_t request = 0;
    int64_t arrival = 0;  // in the order of Add
    int priority = 0;
    uint32_t choice = 0;
    int tenant = 0;
    int max_tokens = 0;
    bool reads_cache = true;
    bool spoiled = false;
    std::shared_ptr<const std::vector<TokenId>> prompt;
    std::vector<TokenId> output{};  // so far
    RowId row = -1;
    bool decoding = false;
    bool was_decoding = false;  // before the last plan
    bool sampled = false;       // an id came back since it took the row
    int num_planned = 0;        // ids that plans sample, those in flight included
    int position = 0;           // of the next token to plan
  };
  struct StepInFlight {
    StepPlan plan;
    Microseconds end = 0;
  };

  bool Chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  int Between(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }
  std::vector<TokenId> Tokens(int n) {
    std::vector<TokenId> tokens(static_cast<size_t>(n));
    for (TokenId& token : tokens) token = Between(0, kSimulatedVocab - 1);
    return tokens;
  }

  // The next event: an arrival, a cancel, the end of a step or a rank's report.
  void Step() {
    while (static_cast<int>(in_flight_.size()) < load_.depth && Plan()) {
    }
    const Microseconds arrival = num_arrived_ < load_.num_requests ? next_arrival_ : kNever;
    const Microseconds cancel = cancels_.empty() ? kNever : cancels_.begin()->first;
    const Microseconds end = in_flight_.empty() ? kNever : in_flight_.front().end;
    const Microseconds report = reports_.empty() ? kNever : reports_.begin()->first;
    const Microseconds next = std::min({arrival, cancel, end, report});
    ASSERT_NE(next, kNever) << "nothing runs, nothing will, and " << live_.size() << " wait";
    now_ = std::max(now_, next);
    if (next == arrival) {
      Arrive();
    } else if (next == cancel) {
      Cancel();
    } else if (next == end) {
      Complete();
    } else {
      Report();
    }
  }

  void Arrive() {
    const int64_t request = ++num_arrived_;
    next_arrival_ = now_ + Between(0, 2 * static_cast<int>(load_.interval));
    const int max_tokens = Between(1, load_.max_output);
    std::vector<TokenId> prompt;
    if (!prefixes_.empty() && Chance(0.7)) {
      prompt = prefixes_[static_cast<size_t>(Between(0, load_.num_shared_prefixes - 1))];
    }
    const std::vector<TokenId> own = Tokens(Between(prompt.empty() ? 1 : 0, load_.max_prompt));
    prompt.insert(prompt.end(), own.begin(), own.end());
    const int num_prompt =
        std::min(static_cast<int>(prompt.size()), load_.options.max_model_len - max_tokens);
    prompt.resize(static_cast<size_t>(num_prompt));
    const int tenant = load_.first_tenant + Between(0, load_.num_tenants - 1);
    const bool spoiled = Chance(load_.spoiled);
    const int spoiled_from = spoiled ? Between(0, num_prompt + max_tokens - 1) : -1;
    const int n = Chance(0.5) ? 1 : Between(1, load_.most_choices);
    const bool reads_cache = !Chance(0.05);
    const int priority = Between(0, load_.num_priorities - 1);
    const auto params = SimulatedParams(tenant, spoiled_from);
    const auto shared = std::make_shared<const std::vector<TokenId>>(std::move(prompt));
    for (int choice = 0; choice < n; ++choice) {
      const SequenceId id = ++num_sequences_;
      Live live{.request = request,
                .arrival = id,
                .priority = priority,
                .choice = static_cast<uint32_t>(choice),
                .tenant = tenant,
                .max_tokens = max_tokens,
                .reads_cache = reads_cache,
                .spoiled = spoiled,
                .prompt = shared};
      // Some arrive with output generated elsewhere.
      if (n == 1 && !spoiled && Chance(0.1)) {
        live.output = SimulatedOutput(*shared, tenant, 0, Between(0, max_tokens - 1));
      }
      live.num_planned = static_cast<int>(live.output.size());
      scheduler_.Add({.id = id,
                      .priority = priority,
                      .max_length = num_prompt + max_tokens,
                      .choice = live.choice,
                      .prompt = shared,
                      .output = live.output,
                      .params = params,
                      .cache_salt = std::to_string(tenant),
                      .prompt_group = n > 1 ? request : 0,
                      .read_prefix_cache = reads_cache});
      live_.emplace(id, std::move(live));
      if (Chance(0.13)) cancels_.emplace(now_ + Between(0, 100'000), id);
    }
  }

  void Cancel() {
    const SequenceId id = cancels_.begin()->second;
    cancels_.erase(cancels_.begin());
    if (live_.count(id) == 0) return;
    End(id);
    ++num_cancelled_;
  }

  void End(SequenceId id) {
    scheduler_.Remove(id);
    live_.erase(id);
    ++num_ended_;
  }

  bool Plan() {
    auto step = scheduler_.Plan();
    if (!step) return false;
    rank_.Check(step->plan, settled_);
    CheckOrder(*step);
    EXPECT_EQ(scheduler_.Load().pages_used, rank_.num_pages_held());
    num_copies_ += static_cast<int>(step->plan.page_copies.size());
    int num_tokens = 0;
    for (const RowStep& row : step->plan.rows) num_tokens += row.num_tokens();
    EXPECT_EQ(num_tokens, step->num_prefill_tokens + step->num_decode_tokens);
    EXPECT_LE(num_tokens, step->num_decode_tokens > 0 ? load_.options.max_batched_tokens
                                                      : std::max(load_.options.max_batched_tokens,
                                                                 load_.options.max_prefill_tokens));
    last_end_ = std::max(now_, last_end_) + 1000 + 10 * num_tokens;
    in_flight_.push_back({std::move(step->plan), last_end_});
    return true;
  }

  void Complete() {
    const StepPlan plan = std::move(in_flight_.front().plan);
    in_flight_.pop_front();
    reports_.emplace(now_ + 1100 * Between(0, load_.report_lag), plan.step);
    const std::vector<SampleOutcome> outcomes = rank_.Run(plan);
    const std::vector<SequenceId> ids = scheduler_.CompleteStep(outcomes);
    ASSERT_EQ(ids.size(), outcomes.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      // An earlier row of this step may have ended the request as a whole.
      if (ids[i] == kNoSequence || live_.count(ids[i]) == 0) continue;
      Live& live = live_.at(ids[i]);
      if (!outcomes[i].finite) {
        EXPECT_TRUE(live.spoiled);
        EndRequest(live.request);
        continue;
      }
      const std::vector<TokenId>& sampled = outcomes[i].ids;
      live.output.insert(live.output.end(), sampled.begin(), sampled.end());
      live.num_planned += static_cast<int>(sampled.size()) - 1;
      live.position += static_cast<int>(sampled.size()) - 1;
      live.sampled = true;
      if (static_cast<int>(live.output.size()) < live.max_tokens) continue;
      EXPECT_EQ(live.output,
                SimulatedOutput(*live.prompt, live.tenant, live.choice, live.max_tokens));
      End(ids[i]);
    }
  }

  void EndRequest(int64_t request) {
    ++num_spoiled_;
    std::vector<SequenceId> ended;
    for (const auto& [id, live] : live_) {
      if (live.request == request) ended.push_back(id);
    }
    for (SequenceId id : ended) End(id);
  }

  void Report() {
    settled_ = std::max(settled_, reports_.begin()->second);
    reports_.erase(reports_.begin());
    scheduler_.SetStepDone(settled_);
  }

  static bool Before(const Live& a, const Live& b) {
    return a.priority != b.priority ? a.priority > b.priority : a.arrival < b.arrival;
  }

  // Who was let in, who was preempted and who was passed over, in a plan.
  void CheckOrder(const PlannedStep& step) {
    std::vector<const Live*> preempted;
    for (RowId row : step.plan.released_rows) {
      const auto found = live_.find(std::exchange(owners_[static_cast<size_t>(row)], kNoSequence));
      if (found == live_.end()) continue;
      preempted.push_back(&found->second);
      found->second.row = -1;
      found->second.decoding = false;
    }
    for (const Live* victim : preempted) {
      for (SequenceId id : owners_) {
        const auto other = live_.find(id);
        if (other == live_.end()) continue;
        EXPECT_TRUE(Before(other->second, *victim)) << "preempted out of order";
      }
    }
    // Whoever decodes gets a token, but at the limit or while waiting for a page.
    std::vector<bool> stepped(owners_.size());
    for (const RowStep& row : step.plan.rows) stepped[static_cast<size_t>(row.row)] = true;
    for (SequenceId id : owners_) {
      const auto found = live_.find(id);
      if (found == live_.end() || !found->second.decoding) continue;
      const Live& live = found->second;
      EXPECT_TRUE(stepped[static_cast<size_t>(live.row)] || live.num_planned == live.max_tokens ||
                  live.position % kPageTokens == 0)
          << "a decoding row was passed over";
    }
    ASSERT_EQ(step.admitted.size(), step.plan.added.size());
    for (size_t i = 0; i < step.admitted.size(); ++i) Take(step.admitted[i], step.plan.added[i]);
    const bool has_long = Advance(step);
    for (const Admission& admission : step.admitted) CheckPassedOver(admission.id, has_long);
    CheckProgress(step);
  }

  void Take(const Admission& admission, const RowAdd& add) {
    Live& live = live_.at(admission.id);
    EXPECT_EQ(live.row, -1);
    const int known = static_cast<int>(live.prompt->size() + live.output.size());
    EXPECT_LT(add.position, known) << "the last known token is always computed";
    EXPECT_LE(admission.cached_tokens, add.position);
    EXPECT_EQ(admission.cached_tokens % kPageTokens, 0);
    EXPECT_TRUE(live.reads_cache || add.position == 0);
    EXPECT_TRUE(load_.options.prefix_cache || admission.cached_tokens == 0);
    live.row = add.row;
    live.decoding = false;
    live.sampled = false;
    live.position = add.position;
    live.num_planned = static_cast<int>(live.output.size());
    owners_[static_cast<size_t>(add.row)] = admission.id;
  }

  // True when a prompt did not fit the step, so that shorter ones may overtake.
  bool Advance(const PlannedStep& step) {
    bool has_long = false;
    for (auto& [id, live] : live_) live.was_decoding = live.decoding;
    for (const RowStep& row : step.plan.rows) {
      Live& live = live_.at(owners_[static_cast<size_t>(row.row)]);
      live.position += row.num_tokens() - static_cast<int>(row.drafts.size());
      live.decoding |= row.sample;
      live.num_planned += row.sample ? 1 : 0;
      has_long |= !row.sample;
    }
    return has_long;
  }

  void CheckPassedOver(SequenceId id, bool has_long) {
    const Live& admitted = live_.at(id);
    for (const auto& [other_id, other] : live_) {
      if (other.row >= 0 || !Before(other, admitted)) continue;
      if (has_long && other.priority == admitted.priority) {
        ++num_overtaken_;
        continue;
      }
      const int64_t request = other.request;
      const bool follows = std::any_of(live_.begin(), live_.end(), [&](const auto& entry) {
        return entry.second.request == request && entry.second.row >= 0;
      });
      if (AwaitsPages(other)) {
        ++num_awaiting_;
        continue;
      }
      EXPECT_TRUE(follows) << "sequence " << id << " was let in before " << other_id;
    }
  }

  // Somebody who has not sampled yet computes a page that this one can share.
  bool AwaitsPages(const Live& waiting) const {
    if (!waiting.reads_cache || !load_.options.prefix_cache) return false;
    return std::any_of(live_.begin(), live_.end(), [&](const auto& entry) {
      const Live& other = entry.second;
      if (other.row < 0 || other.tenant != waiting.tenant || other.priority < waiting.priority) {
        return false;
      }
      const auto known = [](const Live& live, size_t i) {
        return i < live.prompt->size() ? (*live.prompt)[i] : live.output[i - live.prompt->size()];
      };
      const auto size = [](const Live& live) { return live.prompt->size() + live.output.size(); };
      if (other.sampled || std::min(size(other), size(waiting)) < kPageTokens) return false;
      for (size_t i = 0; i < kPageTokens; ++i) {
        if (known(other, i) != known(waiting, i)) return false;
      }
      return true;
    });
  }

  // The first in the order gets on, and a prompt that it cannot fit gets half of what there is.
  void CheckProgress(const PlannedStep& step) {
    const Live* first = nullptr;
    for (const auto& [id, live] : live_) {
      if (live.row >= 0 && !live.was_decoding && (!first || Before(live, *first))) first = &live;
    }
    if (first != nullptr && step.num_prefill_tokens > 0) {
      int num_tokens = 0;
      for (const RowStep& row : step.plan.rows) {
        if (row.row == first->row) num_tokens = row.num_tokens();
      }
      EXPECT_TRUE(first->decoding || 2 * num_tokens >= step.num_prefill_tokens)
          << "the first prompt got " << num_tokens << " of " << step.num_prefill_tokens;
    }
    first = nullptr;
    for (const auto& [id, live] : live_) {
      if (!first || Before(live, *first)) first = &live;
    }
    if (first == nullptr || first->row >= 0 || first->arrival != starving_) num_starved_ = 0;
    starving_ = first == nullptr ? 0 : first->arrival;
    // Those with rows may run to their ends before it.
    ASSERT_LT(++num_starved_, 3 * load_.options.max_model_len) << "the first in the order starves";
  }

  std::mt19937_64 random_;
  const Workload load_;
  Scheduler scheduler_;
  SimulatedRank rank_;
  std::vector<SequenceId> owners_;  // of the rows, as of the last plan
  std::vector<std::vector<TokenId>> prefixes_;
  std::unordered_map<SequenceId, Live> live_;
  std::deque<StepInFlight> in_flight_;
  std::multimap<Microseconds, SequenceId> cancels_;
  std::multimap<Microseconds, StepId> reports_;
  Microseconds now_ = 0;
  Microseconds next_arrival_ = 0;
  Microseconds last_end_ = 0;
  StepId settled_ = 0;
  int64_t num_rounds_ = 0;
  int num_arrived_ = 0;
  int num_sequences_ = 0;
  int num_ended_ = 0;
  int num_cancelled_ = 0;
  int num_spoiled_ = 0;
  int num_copies_ = 0;
  int num_overtaken_ = 0;
  int num_awaiting_ = 0;
  int64_t starving_ = 0;
  int num_starved_ = 0;
};

// A block of workloads; what each must have met is asserted over the block.
class SchedulerSimulationTest : public testing::TestWithParam<int> {};

TEST_P(SchedulerSimulationTest, InvariantsHold) {
  if (const char* seed = std::getenv("SLUICE_SIMULATION_SEED")) {
    if (GetParam() == 0) Simulation(std::stoull(seed)).Run();
    return;
  }
  int num_requests = 0;
  int num_cancelled = 0;
  int num_preempted = 0;
  int num_sharing = 0;
  int num_hitting = 0;
  int num_copying = 0;
  int num_spoiled = 0;
  int num_overtaken = 0;
  int num_awaiting = 0;
  int num_accepting = 0;
  int num_rejecting = 0;
  for (int i = 0; i < kPerBlock; ++i) {
    const uint64_t seed = static_cast<uint64_t>(GetParam() * kPerBlock + i);
    SCOPED_TRACE("replay with SLUICE_SIMULATION_SEED=" + std::to_string(seed));
    Simulation simulation(seed);
    simulation.Run();
    if (HasFailure()) return;
    const SchedulerLoad load = simulation.Load();
    num_requests += simulation.workload().num_requests;
    num_cancelled += simulation.num_cancelled();
    num_preempted += load.preemptions > 0 ? 1 : 0;
    num_sharing += simulation.workload().num_shared_prefixes > 0 ? 1 : 0;
    num_hitting += load.prefix_tokens_hit > 0 ? 1 : 0;
    num_copying += simulation.num_copies() > 0 ? 1 : 0;
    num_spoiled += simulation.num_spoiled();
    num_overtaken += simulation.overtaken() ? 1 : 0;
    num_awaiting += simulation.awaited_pages() ? 1 : 0;
    num_accepting += load.accepted_tokens > 0 ? 1 : 0;
    num_rejecting += load.accepted_tokens < load.drafted_tokens ? 1 : 0;
  }
  RecordProperty("preempted", num_preempted);
  RecordProperty("hitting", num_hitting);
  RecordProperty("copying", num_copying);
  RecordProperty("cancelled", num_cancelled);
  RecordProperty("accepting_drafts", num_accepting);
  EXPECT_GE(num_requests, 64 * kPerBlock);
  EXPECT_GE(num_preempted, kPerBlock / 3);
  EXPECT_GE(num_sharing, kPerBlock / 2);
  EXPECT_GE(num_hitting, kPerBlock / 4);
  EXPECT_GE(num_cancelled, num_requests / 10);
  EXPECT_GT(num_copying, 0);
  EXPECT_GT(num_spoiled, 0);
  EXPECT_GT(num_overtaken, 0);
  EXPECT_GT(num_awaiting, 0);
  EXPECT_GE(num_accepting, kPerBlock / 5);
  EXPECT_GE(num_rejecting, kPerBlock / 5);
}

INSTANTIATE_TEST_SUITE_P(Blocks, SchedulerSimulationTest, testing::Range(0, kNumBlocks));

}  // namespace
}  // namespace sluice::worker
