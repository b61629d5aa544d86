// SPDX-License-Identifier: Apache-2.0
// Scheduler: decides what each step computes. Continuous batching under one token budget: every
// decoding row gets its token first, the rest of the budget goes to prefill, in order of priority
// and arrival (the order, below).
//
// Prefill. A prompt that fits what is left of the budget is computed whole; one that does not gives
// half of what is left to prompts of its own priority that have less to compute: those that hold a
// row, shortest first, then the first few that wait. So a long prompt is delayed by a factor of two
// at most, a short one behind it starts at once, and decoding rows never wait for more than the
// step that a chunk is part of.
//
// Admission. A sequence takes a row when one is free and the pages of all its known ids (and one
// page of growth for each running row) are available, in order; only what the rule above lets
// overtake does. What the prefix cache or a sequence with the same prompt has already computed is
// shared instead of computed, up to the last known token, which is always computed. Choices of one
// request wait until the first of them has computed the prompt, and so does a sequence whose next
// pages are being computed by another one, when that is done sooner than computing them again; what
// waits for pages lets others pass.
//
// Preemption. When decoding runs out of pages, or a sequence of higher priority finds no row or
// pages and would find them so, the last running sequence in the order is preempted: it gives
// everything back and later recomputes what is no longer cached, so it loses time and nothing else.
// The first in the order is never preempted for pages and the pool holds at least one sequence of
// full length (a precondition), so something always makes progress.
//
// Steps overlap: a step may be planned before earlier ones ended, except where drafts are in it or
// likely (scheduler_speculation.cc). Pure bookkeeping without clock,
// locks or I/O; owned and called by the engine loop.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/base/ids.h"
#include "worker/base/sampling_params.h"
#include "worker/base/step_plan.h"
#include "worker/cache/page_pool.h"
#include "worker/cache/prefix_hash.h"

namespace sluice::worker {

// Unique for ever within one scheduler; the engine chooses it.
using SequenceId = int64_t;
inline constexpr SequenceId kNoSequence = 0;

struct SchedulerOptions {
  int max_rows = 64;             // sequences running at once
  int max_batched_tokens = 128;  // per step; at least max_rows
  int max_prefill_tokens = 0;    // of a step in which nothing decodes; 0: max_batched_tokens
  int num_pages = 0;             // page 0 included; PagesFor(max_model_len) + 1 at least
  int max_model_len = 0;         // tokens
  bool prefix_cache = true;
  std::string model{};           // keys the prefix cache: what the pages are computed with
  int max_drafts = 0;            // of one sequence in a step; 0: no speculation
  int speculation_max_rows = 1;  // none while more sequences hold a row
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
  std::string cache_salt{};         // only equal salts share pages
  // Not 0: sequences with this number have the same prompt and salt, and compute it once.
  int64_t prompt_group = 0;
  bool prompt_logprobs = false;  // score every id of the prompt but the first
  // False: every token of the prompt is computed in this sequence's own rows (its log probabilities
  // are wanted): neither the cache nor the group is read. What it computes may be read by others.
  bool read_prefix_cache = true;
};

// A sequence took a row in this step, not necessarily for the first time.
struct Admission {
  SequenceId id = kNoSequence;
  int cached_tokens = 0;  // found in the prefix cache instead of computed
};

struct PlannedStep {
  StepPlan plan;
  std::vector<Admission> admitted;
  // Of the plan's rows with prompt log probabilities, in their order. A sequence that was preempted
  // may be asked again for some that a step before already gives.
  std::vector<SequenceId> scored;
  int num_prefill_tokens = 0;
  int num_decode_tokens = 0;  // drafts included
};

// What came of one row that sampled.
struct SampleOutcome {
  // At least one, and one more for each draft that held; fewer only when not finite.
  std::vector<TokenId> ids{};
  // The logits were finite, so that what the row has computed may be reused.
  bool finite = true;
};

struct SchedulerLoad {
  int running = 0;
  int waiting = 0;
  int64_t waiting_tokens = 0;
  int free_rows = 0;
  int pages_used = 0;     // held by sequences
  int pages_cached = 0;   // held by nobody, evicted when needed
  int pages_retired = 0;  // given back, but steps that name them may still run
  int pages_total = 0;
  // Since the start.
  int64_t preemptions = 0;
  int64_t prefix_tokens_queried = 0;  // prompt ids of sequences that looked into the cache
  int64_t prefix_tokens_hit = 0;      // of these, found
  int64_t drafted_tokens = 0;         // guessed and computed
  int64_t accepted_tokens = 0;        // of these, as sampled
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

  // The oldest step in flight ended; outcomes holds one for each row that sampled, in the plan's
  // order. Returns the sequences they belong to, kNoSequence for those removed since.
  std::vector<SequenceId> CompleteStep(const std::vector<SampleOutcome>& outcomes);

  // Every rank has finished this step and all before: pages last named by them become free.
  void SetStepDone(StepId step);

  SchedulerLoad Load() const;
  bool empty() const { return sequences_.empty(); }

 private:
  struct Sequence;
  // The order: larger priorities first, then earlier arrivals.
  struct Before {
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  // Known tokens that need no computing, and the pages that hold them.
  struct Reuse {
    int num_tokens = 0;
    std::vector<PageId> pages{};      // full ones, shared
    PageId copy_from = kScratchPage;  // holds the rest, when there is a rest
    int num_cached = 0;               // tokens that came from the prefix cache
  };
  // What CompleteStep needs to know of a step in flight.
  struct InFlight {
    std::vector<Sequence*> named;
    std::vector<Sequence*> sampled;
    std::vector<int> num_drafts;  // beside sampled
    bool has_drafts = false;
    // Sequences that ended while this was the newest step: earlier steps may name them too.
    std::vector<std::unique_ptr<Sequence>> removed;
  };
  // kLater: pages that it can share are being computed. kNotYet: it is not complete, or there is no
  // room; nobody passes it.
  enum class Readiness { kReady, kLater, kNotYet };

  // scheduler.cc
  void PlanDecodes(PlannedStep& step, bool speculates, int& budget);
  void PlanRow(Sequence& seq, int num_tokens, std::vector<TokenId> drafts, PlannedStep& step);
  // Asks for the log probabilities of prompt ids that follow the row's tokens.
  void PlanScoring(Sequence& seq, RowStep& row, PlannedStep& step);
  // Makes room for the position the row computes next; may preempt sequences behind it, or itself.
  // False: not in this step.
  bool EnsurePage(Sequence& seq, PlannedStep& step, int& pages_awaited);
  void Preempt(Sequence& seq);
  void ReleaseRow(Sequence& seq);
  void PublishPages(Sequence& seq);
  void ForgetComputing(const Sequence& seq, int page);

  // scheduler_speculation.cc
  bool Speculates() const;
  void ReadForDrafts();
  // Whether the next plan depends on what a step in flight samples, or better did.
  bool AwaitsResult(bool speculates) const;
  // What a step may spend on drafts.
  int DraftBudget(int budget) const;
  // REQUIRES: the row has the page of the position it computes next.
  std::vector<TokenId> DraftFor(Sequence& seq, int budget, PlannedStep& step);

  // scheduler_admission.cc
  void PreemptForPriority();
  // Whether there would be room for seq without any running sequence of lower priority.
  bool FitsWithoutLower(const Sequence& seq, const Reuse& reuse) const;
  void PlanPrefills(PlannedStep& step, int budget);
  // Up to budget tokens for prompts of the same priority with less to compute, waiting ones only
  // when admits is set; what was used.
  int PlanShorter(const Sequence& longer, PlannedStep& step, int budget, bool admits);
  int PlanPrefill(Sequence& seq, PlannedStep& step, int budget);
  Readiness ReadinessOf(const Sequence& seq) const;
  // Takes row and pages when it is ready.
  Readiness Admit(Sequence& seq, PlannedStep& step);
  Reuse FindReuse(Sequence& seq);
  void FindInCache(Sequence& seq, Reuse& reuse);
  void FindInGroup(const Sequence& seq, Reuse& reuse) const;
  // Whether somebody is about to publish pages beyond the reused ones sooner than seq could have
  // computed them.
  bool WaitsForPages(Sequence& seq, const Reuse& reuse);
  // Beyond the reused ones, growth included.
  int PagesNeeded(const Sequence& seq, const Reuse& reuse) const;
  const PrefixHash& HashOfPage(Sequence& seq, int page);
  RowAdd MakeRowAdd(const Sequence& seq) const;

  const SchedulerOptions options_;
  const PrefixHasher hasher_;
  PagePool pool_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::set<Sequence*, Before> waiting_;
  std::vector<Sequence*> running_;                              // in the order
  std::unordered_map<int64_t, std::vector<Sequence*>> groups_;  // of prompts
  // Pages that admitted sequences compute and will publish with their first sample.
  std::unordered_map<PrefixHash, Sequence*, PrefixHash::LowBits> computing_;
  int64_t waiting_tokens_ = 0;
  std::set<RowId> free_rows_;
  std::vector<RowId> released_rows_;  // told to the ranks with the next plan
  std::deque<InFlight> in_flight_;
  StepId next_step_ = 1;
  int64_t next_arrival_ = 0;
  int64_t num_preemptions_ = 0;
  int64_t prefix_tokens_queried_ = 0;
  int64_t prefix_tokens_hit_ = 0;
  int64_t num_drafted_ = 0;
  int64_t num_accepted_ = 0;
};

}  // namespace sluice::worker
