// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/scheduler.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace sluice::worker {

struct Scheduler::Sequence {
  SequenceSpec spec;
  int64_t arrival = 0;
  std::vector<TokenId> tokens;  // prompt and output, as far as known
  int samples_in_flight = 0;    // output ids that planned steps will add
  int steps_in_flight = 0;      // steps that name this sequence
  StepId last_step = 0;         // the last of them

  // The rest is meaningful while the sequence holds a row.
  RowId row = -1;
  bool sampled = false;  // the row has a "token sampled last"
  int planned = 0;       // positions whose computation is planned
  std::vector<PageId> pages;

  int num_known() const { return static_cast<int>(tokens.size()); }
  // Ids there will be once all steps in flight have ended.
  int length() const { return num_known() + samples_in_flight; }
  bool at_limit() const { return length() >= spec.max_length; }
  bool decoding() const { return sampled; }
};

bool Scheduler::RankLess::operator()(const Sequence* a, const Sequence* b) const {
  if (a->spec.priority != b->spec.priority) return a->spec.priority > b->spec.priority;
  return a->arrival < b->arrival;
}

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), pool_(options.num_pages) {
  assert(options.max_rows >= 1 && options.max_batched_tokens >= options.max_rows);
  assert(pool_.num_total() >= PagesFor(options.max_model_len));
  for (RowId row = 0; row < options.max_rows; ++row) free_rows_.insert(row);
}

Scheduler::~Scheduler() = default;

void Scheduler::Add(SequenceSpec spec) {
  auto seq = std::make_unique<Sequence>();
  seq->arrival = next_arrival_++;
  seq->tokens = *spec.prompt;
  seq->tokens.insert(seq->tokens.end(), spec.output.begin(), spec.output.end());
  const SequenceId id = spec.id;
  seq->spec = std::move(spec);
  assert(seq->num_known() < seq->spec.max_length);
  waiting_tokens_ += seq->num_known();
  waiting_.insert(seq.get());
  sequences_.emplace(id, std::move(seq));
}

void Scheduler::Remove(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  Sequence& seq = *found->second;
  if (seq.row >= 0) {
    ReleaseRow(seq);
    running_.erase(&seq);
  } else {
    waiting_tokens_ -= seq.num_known();
    waiting_.erase(&seq);
  }
  sequences_.erase(found);
}

std::optional<PlannedStep> Scheduler::Plan() {
  PlannedStep step;
  step.plan.step = next_step_;
  int budget = options_.max_batched_tokens;
  in_flight_.emplace_back();
  PlanDecodes(step, budget);
  PlanPrefills(step, budget);
  Admit(step, budget);
  if (step.plan.rows.empty()) {
    // Rows that were released wait for the next plan: nobody needs them before.
    in_flight_.pop_back();
    return std::nullopt;
  }
  step.plan.released_rows = std::exchange(released_rows_, {});
  ++next_step_;
  return step;
}

void Scheduler::PlanDecodes(PlannedStep& step, int& budget) {
  int pages_awaited = 0;
  for (auto it = running_.begin(); it != running_.end() && budget > 0;) {
    Sequence& seq = **it;
    if (!seq.decoding() || seq.at_limit()) {
      ++it;
      continue;
    }
    const bool fits = EnsurePage(seq, step, pages_awaited);
    // EnsurePage removes only sequences from the end of running_, this one last of all.
    if (seq.row < 0) break;
    ++it;
    if (!fits) continue;
    PlanRow(seq, 1, step);
    --budget;
    ++step.num_decode_tokens;
  }
}

void Scheduler::PlanPrefills(PlannedStep& step, int& budget) {
  for (Sequence* seq : running_) {
    if (budget == 0) return;
    if (seq->decoding()) continue;
    const int num_tokens = std::min(budget, seq->num_known() - seq->planned);
    PlanRow(*seq, num_tokens, step);
    budget -= num_tokens;
    step.num_prefill_tokens += num_tokens;
  }
}

void Scheduler::Admit(PlannedStep& step, int& budget) {
  while (budget > 0 && !waiting_.empty() && !free_rows_.empty()) {
    Sequence& seq = **waiting_.begin();
    // A preempted sequence whose last ids are still being computed is not complete yet.
    if (seq.steps_in_flight > 0) return;
    const int growth = static_cast<int>(running_.size());
    if (pool_.num_free() < PagesFor(seq.num_known() + 1) + growth) return;
    waiting_.erase(waiting_.begin());
    waiting_tokens_ -= seq.num_known();
    running_.insert(&seq);
    seq.row = *free_rows_.begin();
    free_rows_.erase(free_rows_.begin());
    pool_.Take(PagesFor(seq.num_known()), seq.pages);
    step.plan.added.push_back(MakeRowAdd(seq));
    step.plan.pages.push_back({seq.row, seq.pages});
    step.admitted.push_back(seq.spec.id);
    const int num_tokens = std::min(budget, seq.num_known());
    PlanRow(seq, num_tokens, step);
    budget -= num_tokens;
    step.num_prefill_tokens += num_tokens;
  }
}

void Scheduler::PlanRow(Sequence& seq, int num_tokens, PlannedStep& step) {
  RowStep row;
  row.row = seq.row;
  if (!seq.decoding()) {
    const auto begin = seq.tokens.begin() + seq.planned;
    row.ids.assign(begin, begin + num_tokens);
  }
  seq.planned += num_tokens;
  row.sample = seq.planned == seq.length();
  InFlight& in_flight = in_flight_.back();
  in_flight.named.push_back(seq.spec.id);
  if (row.sample) {
    in_flight.sampled.push_back(seq.spec.id);
    seq.sampled = true;
    ++seq.samples_in_flight;
  }
  ++seq.steps_in_flight;
  seq.last_step = step.plan.step;
  step.plan.rows.push_back(std::move(row));
}

bool Scheduler::EnsurePage(Sequence& seq, PlannedStep& step, int& pages_awaited) {
  if (seq.planned < static_cast<int>(seq.pages.size()) * kPageTokens) return true;
  for (;;) {
    if (pool_.Take(1, seq.pages)) {
      step.plan.pages.push_back({seq.row, {seq.pages.back()}});
      return true;
    }
    // Pages that were given back and come free when running steps end are worth waiting for, one
    // for each row that waits; only beyond them somebody has to go.
    if (pool_.num_retired() > pages_awaited) {
      ++pages_awaited;
      return false;
    }
    Sequence& victim = **running_.rbegin();
    Preempt(victim);
    if (&victim == &seq) return false;
  }
}

void Scheduler::Preempt(Sequence& seq) {
  running_.erase(&seq);
  ReleaseRow(seq);
  waiting_tokens_ += seq.num_known();
  waiting_.insert(&seq);
  ++num_preemptions_;
}

void Scheduler::ReleaseRow(Sequence& seq) {
  released_rows_.push_back(seq.row);
  free_rows_.insert(seq.row);
  seq.row = -1;
  seq.sampled = false;
  seq.planned = 0;
  pool_.Retire(std::move(seq.pages), seq.last_step);
  seq.pages.clear();
}

RowAdd Scheduler::MakeRowAdd(const Sequence& seq) const {
  auto sampling = std::make_shared<RowAdd::Sampling>();
  sampling->params = *seq.spec.params;
  sampling->choice = seq.spec.choice;
  sampling->prompt = *seq.spec.prompt;
  sampling->output.assign(seq.tokens.begin() + sampling->prompt.size(), seq.tokens.end());
  sampling->stop_ids = seq.spec.stop_ids;
  return {.row = seq.row, .position = 0, .sampling = std::move(sampling)};
}

std::vector<SequenceId> Scheduler::CompleteStep(const std::vector<TokenId>& sampled) {
  InFlight done = std::move(in_flight_.front());
  in_flight_.pop_front();
  assert(sampled.size() == done.sampled.size());
  for (SequenceId id : done.named) {
    const auto found = sequences_.find(id);
    if (found != sequences_.end()) --found->second->steps_in_flight;
  }
  for (size_t i = 0; i < done.sampled.size(); ++i) {
    const auto found = sequences_.find(done.sampled[i]);
    if (found == sequences_.end()) {
      done.sampled[i] = kNoSequence;
      continue;
    }
    Sequence& seq = *found->second;
    seq.tokens.push_back(sampled[i]);
    --seq.samples_in_flight;
    if (seq.row < 0) ++waiting_tokens_;
  }
  return std::move(done.sampled);
}

void Scheduler::SetStepDone(StepId step) { pool_.SetStepDone(step); }

SchedulerLoad Scheduler::Load() const {
  return {.running = static_cast<int>(running_.size()),
          .waiting = static_cast<int>(waiting_.size()),
          .waiting_tokens = waiting_tokens_,
          .free_rows = static_cast<int>(free_rows_.size()),
          .pages_used = pool_.num_used(),
          .pages_total = pool_.num_total(),
          .preemptions = num_preemptions_};
}

}  // namespace sluice::worker
