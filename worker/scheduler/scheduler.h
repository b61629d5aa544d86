// SPDX-License-Identifier: Apache-2.0
// Scheduler: decides what each step computes. Continuous batching under one token budget: every
// decoding row gets its token first, the rest of the budget goes to prefill in chunks, in order of
// priority and arrival. A sequence is admitted when a row and the pages of all its known ids (and
// one page of growth for each running row) are there; when decoding runs out of pages, the
// lowest-priority, last-arrived sequence is preempted: it gives everything back and later
// recomputes its known ids, so it loses time and nothing else.
//
// The first running sequence in that order is never preempted and the pool holds at least one
// sequence of full length (a precondition), so something always makes progress; waiting sequences
// are admitted strictly in order, so none is overtaken for ever by smaller ones.
//
// Steps overlap: a step may be planned before earlier ones ended. Pure bookkeeping without clock,
// locks or I/O; owned and called by the engine loop.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "worker/base/ids.h"
#include "worker/base/sampling_params.h"
#include "worker/base/step_plan.h"
#include "worker/cache/page_pool.h"

namespace sluice::worker {

// Unique for ever within one scheduler; the engine chooses it.
using SequenceId = int64_t;
inline constexpr SequenceId kNoSequence = 0;

struct SchedulerOptions {
  int max_rows = 64;             // sequences running at once
  int max_batched_tokens = 128;  // per step; at least max_rows
  int num_pages = 0;             // page 0 included; PagesFor(max_model_len) + 1 at least
  int max_model_len = 0;         // tokens
};

// One continuation of one prompt.
struct SequenceSpec {
  SequenceId id = kNoSequence;
  int priority = 0;                                      // larger runs first
  int max_length = 0;                                    // prompt and output together, ids
  uint32_t choice = 0;                                   // keys the draws
  std::shared_ptr<const std::vector<TokenId>> prompt{};  // at least one id
  std::vector<TokenId> output{};                         // generated elsewhere
  std::shared_ptr<const SamplingParams> params{};
  std::vector<TokenId> stop_ids{};  // masked before min_tokens
};

struct PlannedStep {
  StepPlan plan;
  std::vector<SequenceId> admitted;  // took a row in this step, readmissions included
  int num_prefill_tokens = 0;
  int num_decode_tokens = 0;
};

struct SchedulerLoad {
  int running = 0;
  int waiting = 0;
  int64_t waiting_tokens = 0;
  int free_rows = 0;
  int pages_used = 0;
  int pages_total = 0;
  int64_t preemptions = 0;  // since the start
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // REQUIRES: a new id; prompt + output < max_length <= max_model_len.
  void Add(SequenceSpec spec);

  // Ends a sequence in any state. Its row and pages go back; samples still in flight are dropped.
  // Unknown ids are ignored.
  void Remove(SequenceId id);

  // The next step, or nothing when no token can be computed now (nothing to do, or waiting for a
  // step to end). Every plan returned must be run and completed, in order.
  std::optional<PlannedStep> Plan();

  // The oldest step in flight ended; sampled holds one id per row that sampled, in the plan's
  // order. Returns the sequences they belong to, kNoSequence for those removed since.
  std::vector<SequenceId> CompleteStep(const std::vector<TokenId>& sampled);

  // Every rank has finished this step and all before: pages last named by them become free.
  void SetStepDone(StepId step);

  SchedulerLoad Load() const;
  bool empty() const { return sequences_.empty(); }

 private:
  struct Sequence;
  struct RankLess {
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  // What CompleteStep needs to know of a step in flight.
  struct InFlight {
    std::vector<SequenceId> named;
    std::vector<SequenceId> sampled;
  };

  void PlanDecodes(PlannedStep& step, int& budget);
  void PlanPrefills(PlannedStep& step, int& budget);
  void Admit(PlannedStep& step, int& budget);
  void PlanRow(Sequence& seq, int num_tokens, PlannedStep& step);
  // Makes room for the position the row computes next; may preempt sequences behind it, or itself.
  // False: not in this step.
  bool EnsurePage(Sequence& seq, PlannedStep& step, int& pages_awaited);
  void Preempt(Sequence& seq);
  void ReleaseRow(Sequence& seq);
  RowAdd MakeRowAdd(const Sequence& seq) const;

  const SchedulerOptions options_;
  PagePool pool_;
  std::map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::set<Sequence*, RankLess> waiting_;
  std::set<Sequence*, RankLess> running_;
  int64_t waiting_tokens_ = 0;
  std::set<RowId> free_rows_;
  std::vector<RowId> released_rows_;  // told to the ranks with the next plan
  std::deque<InFlight> in_flight_;
  StepId next_step_ = 1;
  int64_t next_arrival_ = 0;
  int64_t num_preemptions_ = 0;
};

}  // namespace sluice::worker
