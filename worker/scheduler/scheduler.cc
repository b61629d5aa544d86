// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/scheduler.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "worker/scheduler/sequence.h"

namespace sluice::worker {

bool Scheduler::Before::operator()(const Sequence* a, const Sequence* b) const {
  if (a->spec.priority != b->spec.priority) return a->spec.priority > b->spec.priority;
  return a->arrival < b->arrival;
}

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), hasher_(options.model), pool_(options.num_pages) {
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
  if (seq->spec.prompt_group != 0) groups_[seq->spec.prompt_group].push_back(seq.get());
  sequences_.emplace(id, std::move(seq));
}

void Scheduler::Remove(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  Sequence& seq = *found->second;
  if (seq.row >= 0) {
    ReleaseRow(seq);
    std::erase(running_, &seq);
  } else {
    waiting_tokens_ -= seq.num_known();
    waiting_.erase(&seq);
  }
  if (const auto group = groups_.find(seq.spec.prompt_group); group != groups_.end()) {
    std::erase(group->second, &seq);
    if (group->second.empty()) groups_.erase(group);
  }
  seq.removed = true;
  if (seq.steps_in_flight > 0) in_flight_.back().removed.push_back(std::move(found->second));
  sequences_.erase(found);
}

std::optional<PlannedStep> Scheduler::Plan() {
  const bool speculates = Speculates();
  if (speculates) ReadForDrafts();
  if (AwaitsResult(speculates)) return std::nullopt;
  PlannedStep step;
  step.plan.step = next_step_;
  in_flight_.emplace_back();
  PreemptForPriority();
  int budget = options_.max_batched_tokens;
  PlanDecodes(step, speculates, budget);
  if (step.num_decode_tokens == 0) budget = std::max(budget, options_.max_prefill_tokens);
  PlanPrefills(step, budget);
  if (step.plan.rows.empty()) {
    // Rows that were released wait for the next plan: nobody needs them before.
    in_flight_.pop_back();
    return std::nullopt;
  }
  step.plan.released_rows = std::exchange(released_rows_, {});
  ++next_step_;
  return step;
}

void Scheduler::PlanDecodes(PlannedStep& step, bool speculates, int& budget) {
  int pages_awaited = 0;
  int draft_budget = speculates ? DraftBudget(budget) : 0;
  step.plan.rows.reserve(running_.size());
  in_flight_.back().named.reserve(running_.size());
  in_flight_.back().sampled.reserve(running_.size());
  // EnsurePage removes only sequences from the end of running_, this one last of all.
  for (size_t i = 0; i < running_.size() && budget > 0; ++i) {
    Sequence& seq = *running_[i];
    if (!seq.decoding() || seq.at_limit()) continue;
    if (!EnsurePage(seq, step, pages_awaited)) continue;
    std::vector<TokenId> drafts;
    if (draft_budget > 0) drafts = DraftFor(seq, draft_budget, step);
    const int num_drafts = static_cast<int>(drafts.size());
    PlanRow(seq, 1, std::move(drafts), step);
    draft_budget -= num_drafts;
    budget -= 1 + num_drafts;
    step.num_decode_tokens += 1 + num_drafts;
  }
}

void Scheduler::PlanRow(Sequence& seq, int num_tokens, std::vector<TokenId> drafts,
                        PlannedStep& step) {
  RowStep row;
  row.row = seq.row;
  if (!seq.decoding()) {
    const auto begin = seq.tokens.begin() + seq.planned;
    row.ids.assign(begin, begin + num_tokens);
    if (seq.spec.prompt_logprobs) PlanScoring(seq, row, step);
  }
  seq.planned += num_tokens;
  if (seq.prompt_step == 0 && seq.planned >= seq.num_prompt()) seq.prompt_step = step.plan.step;
  row.sample = seq.planned == seq.length();
  InFlight& in_flight = in_flight_.back();
  in_flight.named.push_back(&seq);
  if (row.sample) {
    in_flight.sampled.push_back(&seq);
    in_flight.num_drafts.push_back(static_cast<int>(drafts.size()));
    in_flight.has_drafts |= !drafts.empty();
    seq.sampled = true;
    ++seq.samples_in_flight;
  }
  ++seq.steps_in_flight;
  seq.last_step = step.plan.step;
  row.drafts = std::move(drafts);
  step.plan.rows.push_back(std::move(row));
}

void Scheduler::PlanScoring(Sequence& seq, RowStep& row, PlannedStep& step) {
  const int last = static_cast<int>(seq.spec.prompt->size()) - 1;  // no prompt id follows this one
  const int end = std::min(seq.planned + static_cast<int>(row.ids.size()), last);
  if (end <= std::max(seq.planned, seq.scored)) return;
  row.num_prompt_logprobs = end - seq.planned;
  seq.scored = end;
  step.scored.push_back(seq.spec.id);
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
    Sequence& victim = *running_.back();
    Preempt(victim);
    if (&victim == &seq) return false;
  }
}

void Scheduler::Preempt(Sequence& seq) {
  assert(running_.back() == &seq);
  running_.pop_back();
  ReleaseRow(seq);
  waiting_tokens_ += seq.num_known();
  waiting_.insert(&seq);
  ++num_preemptions_;
}

void Scheduler::ReleaseRow(Sequence& seq) {
  released_rows_.push_back(seq.row);
  free_rows_.insert(seq.row);
  for (int page = seq.num_offered; page < static_cast<int>(seq.hashes.size()); ++page) {
    ForgetComputing(seq, page);
  }
  pool_.Release(seq.pages, seq.last_step);
  seq.row = -1;
  seq.sampled = false;
  seq.planned = 0;
  seq.num_offered = 0;
  seq.prompt_step = 0;
  seq.pages.clear();
  seq.drafter.reset();
}

std::vector<SequenceId> Scheduler::CompleteStep(const std::vector<SampleOutcome>& outcomes) {
  const InFlight done = std::move(in_flight_.front());
  in_flight_.pop_front();
  assert(outcomes.size() == done.sampled.size());
  for (Sequence* seq : done.named) --seq->steps_in_flight;
  std::vector<SequenceId> owners(done.sampled.size(), kNoSequence);
  for (size_t i = 0; i < done.sampled.size(); ++i) {
    Sequence& seq = *done.sampled[i];
    if (seq.removed) continue;
    owners[i] = seq.spec.id;
    const std::vector<TokenId>& ids = outcomes[i].ids;
    seq.tokens.insert(seq.tokens.end(), ids.begin(), ids.end());
    --seq.samples_in_flight;
    const int num_accepted = std::max(0, static_cast<int>(ids.size()) - 1);
    num_drafted_ += done.num_drafts[i];
    num_accepted_ += num_accepted;
    if (seq.row < 0) {
      waiting_tokens_ += static_cast<int64_t>(ids.size());
      continue;
    }
    seq.planned += num_accepted;
    if (outcomes[i].finite) PublishPages(seq);
    if (done.num_drafts[i] > 0) seq.drafter->OnDrafted(done.num_drafts[i], num_accepted);
  }
  return owners;
}

// Called when a finite sample came: a NaN anywhere before would have spread to it, through the
// attention of every layer. All tokens but that sample have been computed by steps that ended.
void Scheduler::PublishPages(Sequence& seq) {
  if (!options_.prefix_cache) return;
  const int num_full = (seq.num_known() - 1) / kPageTokens;
  for (; seq.num_offered < num_full; ++seq.num_offered) {
    pool_.Publish(seq.pages[static_cast<size_t>(seq.num_offered)],
                  HashOfPage(seq, seq.num_offered));
    ForgetComputing(seq, seq.num_offered);
  }
}

void Scheduler::ForgetComputing(const Sequence& seq, int page) {
  const auto found = computing_.find(seq.hashes[static_cast<size_t>(page)]);
  if (found != computing_.end() && found->second == &seq) computing_.erase(found);
}

void Scheduler::SetStepDone(StepId step) { pool_.SetStepDone(step); }

SchedulerLoad Scheduler::Load() const {
  return {.running = static_cast<int>(running_.size()),
          .waiting = static_cast<int>(waiting_.size()),
          .waiting_tokens = waiting_tokens_,
          .free_rows = static_cast<int>(free_rows_.size()),
          .pages_used = pool_.num_used(),
          .pages_cached = pool_.num_cached(),
          .pages_retired = pool_.num_retired(),
          .pages_total = pool_.num_total(),
          .preemptions = num_preemptions_,
          .prefix_tokens_queried = prefix_tokens_queried_,
          .prefix_tokens_hit = prefix_tokens_hit_,
          .drafted_tokens = num_drafted_,
          .accepted_tokens = num_accepted_};
}

}  // namespace sluice::worker
