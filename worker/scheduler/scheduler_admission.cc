// SPDX-License-Identifier: Apache-2.0
// Scheduler: who is let in, with which pages, and how prefill shares what decoding leaves of a
// step.
#include <algorithm>
#include <utility>

#include "worker/scheduler/scheduler.h"
#include "worker/scheduler/sequence.h"

namespace sluice::worker {
namespace {

// How far back in the queue a prompt is looked for that may pass those before it: how many are
// tried, since each is looked up in the cache, and how many are only asked for their length.
constexpr int kMostLookedAt = 16;
constexpr int kMostMeasured = 256;

// Choices of one request wait side by side, for the same: a look at the first serves all of them,
// so that many choices do not hide who waits behind them.
bool IsOf(int64_t group, const SequenceSpec& spec) {
  return group != 0 && spec.prompt_group == group;
}

}  // namespace

// Rows and pages of lower priorities are for the taking: their sequences wait their turn instead.
void Scheduler::PreemptForPriority() {
  if (waiting_.empty()) return;
  Sequence& first = **waiting_.begin();
  const auto outranked = [&] {
    return !running_.empty() && running_.back()->spec.priority < first.spec.priority;
  };
  if (!outranked() || ReadinessOf(first) != Readiness::kReady) return;
  const Reuse reuse = FindReuse(first);
  if (WaitsForPages(first, reuse)) return;
  // What comes free when running steps end is worth waiting for.
  const auto fits = [&] {
    return !free_rows_.empty() &&
           pool_.num_available() + pool_.num_retired() >= PagesNeeded(first, reuse);
  };
  if (fits() || !FitsWithoutLower(first, reuse)) return;
  while (outranked() && !fits()) Preempt(*running_.back());
}

// Otherwise preempting would cost others their place and help nobody.
bool Scheduler::FitsWithoutLower(const Sequence& seq, const Reuse& reuse) const {
  std::vector<int> holders(static_cast<size_t>(pool_.num_total()) + 1);  // of lower priority
  const auto holds = [&](PageId page) { return ++holders[static_cast<size_t>(page)]; };
  // What the sequence shares itself does not come free.
  for (PageId page : reuse.pages) holders[static_cast<size_t>(page)] = pool_.num_total();
  int num_lower = 0;
  int num_freed = 0;
  for (auto it = running_.rbegin(); it != running_.rend(); ++it) {
    if ((*it)->spec.priority >= seq.spec.priority) break;
    ++num_lower;
    for (PageId page : (*it)->pages) num_freed += holds(page) == pool_.num_holders(page) ? 1 : 0;
  }
  return pool_.num_available() + pool_.num_retired() + num_freed >=
         PagesNeeded(seq, reuse) - num_lower;
}

void Scheduler::PlanPrefills(PlannedStep& step, int budget) {
  // Preempting is over for this step, so both orders only grow where admissions put sequences.
  std::vector<Sequence*> prefills;
  for (Sequence* seq : running_) {
    if (!seq->decoding()) prefills.push_back(seq);
  }
  auto running = prefills.begin();
  auto waiting = waiting_.begin();
  bool admits = true;
  int passed_over = 0;
  int64_t passed_group = 0;
  while (budget > 0) {
    const bool has_waiting = admits && waiting != waiting_.end() && !free_rows_.empty();
    Sequence* next = nullptr;
    if (running != prefills.end() && !(has_waiting && Before()(*waiting, *running))) {
      next = *running++;
    } else if (has_waiting) {
      Sequence& candidate = **waiting++;
      if (IsOf(passed_group, candidate.spec)) continue;
      const Readiness readiness = Admit(candidate, step);
      admits = readiness != Readiness::kNotYet && passed_over < kMostLookedAt;
      passed_over += readiness == Readiness::kLater ? 1 : 0;
      if (readiness == Readiness::kLater) passed_group = candidate.spec.prompt_group;
      if (readiness != Readiness::kReady) continue;
      next = &candidate;
    } else {
      return;
    }
    // A prompt that does not fit takes all that others leave, so it is the last.
    int used = 0;
    if (next->num_remaining() > budget) used = PlanShorter(*next, step, budget / 2, admits);
    budget -= used + PlanPrefill(*next, step, budget - used);
  }
}

int Scheduler::PlanShorter(const Sequence& longer, PlannedStep& step, int budget, bool admits) {
  const int priority = longer.spec.priority;
  const auto gains = [&](const Sequence& seq) {
    return seq.spec.priority == priority && seq.num_remaining() < longer.num_remaining();
  };
  int used = 0;
  std::vector<Sequence*> shorter;
  for (Sequence* seq : running_) {
    // Those before it in the order have had theirs in this step.
    if (!seq->decoding() && seq->last_step != step.plan.step && seq != &longer && gains(*seq)) {
      shorter.push_back(seq);
    }
  }
  std::stable_sort(shorter.begin(), shorter.end(), [](const Sequence* a, const Sequence* b) {
    return a->num_remaining() < b->num_remaining();
  });
  for (Sequence* seq : shorter) {
    if (used == budget) return used;
    used += PlanPrefill(*seq, step, budget - used);
  }
  int looked_at = 0;
  int measured = 0;
  int64_t passed_group = 0;
  for (auto it = waiting_.begin(); admits && it != waiting_.end() && used < budget;) {
    if (free_rows_.empty() || looked_at == kMostLookedAt || measured == kMostMeasured) break;
    Sequence& candidate = **it++;
    ++measured;
    if (!gains(candidate) || IsOf(passed_group, candidate.spec)) continue;
    ++looked_at;
    const Readiness readiness = Admit(candidate, step);
    if (readiness == Readiness::kNotYet) break;
    if (readiness == Readiness::kLater) {
      passed_group = candidate.spec.prompt_group;
      continue;
    }
    used += PlanPrefill(candidate, step, budget - used);
  }
  return used;
}

int Scheduler::PlanPrefill(Sequence& seq, PlannedStep& step, int budget) {
  const int num_tokens = std::min(budget, seq.num_remaining());
  PlanRow(seq, num_tokens, {}, step);
  step.num_prefill_tokens += num_tokens;
  return num_tokens;
}

Scheduler::Readiness Scheduler::ReadinessOf(const Sequence& seq) const {
  // A preempted sequence whose last ids are still being computed is not complete yet.
  if (seq.steps_in_flight > 0) return Readiness::kNotYet;
  const auto group = groups_.find(seq.spec.prompt_group);
  if (group == groups_.end() || !seq.spec.read_prefix_cache) return Readiness::kReady;
  bool computing = false;
  for (const Sequence* member : group->second) {
    if (member->row < 0) continue;
    // A copy reads what earlier steps have written.
    if (member->prompt_step != 0 && member->prompt_step < next_step_) return Readiness::kReady;
    computing = true;
  }
  return computing ? Readiness::kLater : Readiness::kReady;
}

Scheduler::Readiness Scheduler::Admit(Sequence& seq, PlannedStep& step) {
  const Readiness readiness = ReadinessOf(seq);
  if (readiness != Readiness::kReady) return readiness;
  Reuse reuse = FindReuse(seq);
  if (WaitsForPages(seq, reuse)) return Readiness::kLater;
  if (pool_.num_available() < PagesNeeded(seq, reuse)) return Readiness::kNotYet;
  waiting_.erase(&seq);
  waiting_tokens_ -= seq.num_known();
  running_.insert(std::upper_bound(running_.begin(), running_.end(), &seq, Before()), &seq);
  seq.row = *free_rows_.begin();
  free_rows_.erase(free_rows_.begin());
  seq.planned = reuse.num_tokens;
  seq.num_offered = static_cast<int>(reuse.pages.size());
  if (seq.planned >= seq.num_prompt()) seq.prompt_step = step.plan.step;
  if (!seq.was_admitted && options_.prefix_cache && seq.spec.read_prefix_cache &&
      reuse.num_tokens == reuse.num_cached) {
    prefix_tokens_queried_ += seq.num_prompt();
    prefix_tokens_hit_ += std::min(reuse.num_cached, seq.num_prompt());
  }
  seq.was_admitted = true;
  for (PageId page : reuse.pages) pool_.Share(page);
  const auto num_reused = static_cast<int>(reuse.pages.size());
  seq.pages = std::move(reuse.pages);
  pool_.Take(PagesFor(seq.num_known()) - num_reused, seq.pages);
  if (reuse.copy_from != kScratchPage) {
    pool_.NameInStep(reuse.copy_from, step.plan.step);
    step.plan.page_copies.push_back(
        {.from = reuse.copy_from, .to = seq.pages[static_cast<size_t>(num_reused)]});
  }
  step.plan.added.push_back(MakeRowAdd(seq));
  step.plan.pages.push_back({seq.row, seq.pages});
  step.admitted.push_back({.id = seq.spec.id, .cached_tokens = reuse.num_cached});
  for (int i = num_reused; options_.prefix_cache && i < seq.num_known() / kPageTokens; ++i) {
    computing_.emplace(HashOfPage(seq, i), &seq);
  }
  return Readiness::kReady;
}

Scheduler::Reuse Scheduler::FindReuse(Sequence& seq) {
  Reuse reuse;
  if (!seq.spec.read_prefix_cache) return reuse;
  if (options_.prefix_cache) FindInCache(seq, reuse);
  if (seq.spec.prompt_group != 0) FindInGroup(seq, reuse);
  return reuse;
}

void Scheduler::FindInCache(Sequence& seq, Reuse& reuse) {
  // The last known token is computed in any case: its logits are wanted.
  const int most = (seq.num_known() - 1) / kPageTokens;
  for (int i = 0; i < most; ++i) {
    const std::optional<PageId> page = pool_.Find(HashOfPage(seq, i));
    if (!page) break;
    reuse.pages.push_back(*page);
  }
  reuse.num_tokens = reuse.num_cached = static_cast<int>(reuse.pages.size()) * kPageTokens;
}

void Scheduler::FindInGroup(const Sequence& seq, Reuse& reuse) const {
  const int num_tokens = std::min(seq.num_prompt(), seq.num_known() - 1);
  if (num_tokens <= reuse.num_tokens) return;
  for (const Sequence* member : groups_.at(seq.spec.prompt_group)) {
    if (member->row < 0 || member->prompt_step == 0 || member->prompt_step >= next_step_) continue;
    const auto full = static_cast<std::ptrdiff_t>(num_tokens / kPageTokens);
    reuse.num_tokens = num_tokens;
    reuse.num_cached = 0;
    reuse.pages.assign(member->pages.begin(), member->pages.begin() + full);
    if (num_tokens % kPageTokens != 0) {
      reuse.copy_from = member->pages[static_cast<size_t>(full)];
    }
    return;
  }
}

bool Scheduler::WaitsForPages(Sequence& seq, const Reuse& reuse) {
  if (!options_.prefix_cache || !seq.spec.read_prefix_cache) return false;
  const int most = (seq.num_known() - 1) / kPageTokens;
  const Sequence* computing = nullptr;
  int num_pages = 0;
  for (int i = reuse.num_tokens / kPageTokens; i < most; ++i, ++num_pages) {
    const auto found = computing_.find(HashOfPage(seq, i));
    if (found == computing_.end()) break;
    computing = found->second;
  }
  // One of lower priority might not be given the tokens to go on.
  return computing != nullptr && computing->spec.priority >= seq.spec.priority &&
         computing->num_remaining() <= num_pages * kPageTokens;
}

int Scheduler::PagesNeeded(const Sequence& seq, const Reuse& reuse) const {
  // Cached pages count as available until somebody holds them.
  int revived = 0;
  for (PageId page : reuse.pages) revived += pool_.cached(page) ? 1 : 0;
  const int growth = static_cast<int>(running_.size());
  return PagesFor(seq.num_known() + 1) - static_cast<int>(reuse.pages.size()) + revived + growth;
}

const PrefixHash& Scheduler::HashOfPage(Sequence& seq, int page) {
  while (static_cast<int>(seq.hashes.size()) <= page) {
    const TokenId* tokens = seq.tokens.data() + seq.hashes.size() * kPageTokens;
    const PrefixHash before =
        seq.hashes.empty() ? hasher_.Root(seq.spec.cache_salt) : seq.hashes.back();
    seq.hashes.push_back(hasher_.Extend(before, tokens));
  }
  return seq.hashes[static_cast<size_t>(page)];
}

RowAdd Scheduler::MakeRowAdd(const Sequence& seq) const {
  auto sampling = std::make_shared<RowAdd::Sampling>();
  sampling->params = *seq.spec.params;
  sampling->choice = seq.spec.choice;
  sampling->prompt = *seq.spec.prompt;
  sampling->output.assign(seq.tokens.begin() + static_cast<std::ptrdiff_t>(sampling->prompt.size()),
                          seq.tokens.end());
  sampling->stop_ids = seq.spec.stop_ids;
  return {.row = seq.row, .position = seq.planned, .sampling = std::move(sampling)};
}

}  // namespace sluice::worker
