// SPDX-License-Identifier: Apache-2.0
// Drafter: what one sequence drafts, and how much, from how its guesses fare. A draft that does
// not hold costs a token's computation, so a sequence whose text does not repeat must stop
// drafting, and one that begins to repeat must start:
//   - Every new id is compared with what would have been guessed, whether or not that was drafted,
//     and the share of guesses that hold is averaged, the last eight or so counting most. It begins
//     at one half. Below 0.4 the sequence drafts nothing; guessing goes on, since it costs nothing.
//   - The first draft is of two ids. When all drafts of a step held, the next may have twice as
//     many; otherwise one more than held.
// Owned by the scheduler; engine thread.
#pragma once

#include <span>
#include <vector>

#include "worker/base/ids.h"
#include "worker/scheduler/prompt_lookup.h"

namespace sluice::worker {

class Drafter {
 public:
  // max_drafts: of one step, at least 1.
  explicit Drafter(int max_drafts);

  // The sequence so far, which only grows between calls. A long prompt is read over several calls;
  // until all is read there are no drafts.
  void Read(std::span<const TokenId> ids);

  // Drafts for ids, which Read was called with last; at most `room` of them, maybe none.
  std::vector<TokenId> Draft(std::span<const TokenId> ids, int room) const;

  // Whether drafts are likely once the id that now is being computed is known, so that it is worth
  // waiting for.
  bool Expects(std::span<const TokenId> ids) const { return !Draft(ids, 1).empty(); }

  // A step with drafts ended.
  void OnDrafted(int num_drafted, int num_accepted);

 private:
  const int max_drafts_;
  PromptLookup lookup_;
  size_t num_read_ = 0;  // ids that are in the index and, from the first output on, in share_held_
  float share_held_;
  int length_;  // of the next draft
};

}  // namespace sluice::worker
