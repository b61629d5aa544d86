// SPDX-License-Identifier: Apache-2.0
// The scheduler's part in prompt-lookup speculation. Drafts follow the last id of their sequence,
// so that id must be known when they are planned, and how far a row got must be known before its
// next step: while a sequence speculates, planning waits for results instead of running one step
// ahead. It waits for all sequences, since a step without the speculating ones would only be
// followed by one with them.
#include <algorithm>
#include <memory>

#include "worker/scheduler/scheduler.h"
#include "worker/scheduler/sequence.h"

namespace sluice::worker {

bool Scheduler::Speculates() const {
  return options_.max_drafts > 0 &&
         static_cast<int>(running_.size()) <= options_.speculation_max_rows;
}

void Scheduler::ReadForDrafts() {
  for (Sequence* seq : running_) {
    if (seq->drafter == nullptr) seq->drafter = std::make_unique<Drafter>(options_.max_drafts);
    seq->drafter->Read(seq->tokens);
  }
}

bool Scheduler::AwaitsResult(bool speculates) const {
  if (in_flight_.empty()) return false;
  const auto drafted = [](const InFlight& step) { return step.has_drafts; };
  if (std::any_of(in_flight_.begin(), in_flight_.end(), drafted)) return true;
  // The id that is being computed decides whether there are drafts. Where none are likely, the next
  // step need not wait for it.
  return speculates && std::any_of(running_.begin(), running_.end(), [](const Sequence* seq) {
           return seq->samples_in_flight > 0 && seq->most_drafts() > 0 &&
                  seq->drafter->Expects(seq->tokens);
         });
}

int Scheduler::DraftBudget(int budget) const {
  const auto decodes = [](const Sequence* seq) { return seq->decoding() && !seq->at_limit(); };
  const auto num_decodes = std::count_if(running_.begin(), running_.end(), decodes);
  // Every decoding row has its token first, and prefill goes on beside drafts.
  return std::max(0, budget - static_cast<int>(num_decodes)) / 2;
}

std::vector<TokenId> Scheduler::DraftFor(Sequence& seq, int budget, PlannedStep& step) {
  if (budget <= 0 || seq.samples_in_flight > 0) return {};
  std::vector<TokenId> drafts = seq.drafter->Draft(seq.tokens, std::min(budget, seq.most_drafts()));
  const size_t room = seq.pages.size() * kPageTokens - static_cast<size_t>(seq.planned) - 1;
  if (drafts.size() <= room) return drafts;
  // A guess preempts nobody, nor takes the page that a running sequence needs next.
  if (pool_.num_available() > static_cast<int>(running_.size()) && pool_.Take(1, seq.pages)) {
    step.plan.pages.push_back({seq.row, {seq.pages.back()}});
  } else {
    drafts.resize(room);
  }
  return drafts;
}

}  // namespace sluice::worker
