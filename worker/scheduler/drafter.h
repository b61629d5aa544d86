// SPDX-License-Identifier: Apache-2.0
// Drafter: what one sequence drafts, and how much, from how its drafts have fared. A draft that does
// not hold costs a token's computation, so a sequence whose text does not repeat must stop guessing:
//   - the first time half of the most is drafted, at least 1;
//   - when all drafts of a step held, the next step may have twice as many;
//   - otherwise one more than held;
//   - after two steps in a row in which none held, it pauses for 16 ids, and while the next attempt
//     fails too, for twice as many each time, up to 256. An attempt after a pause is one draft.
// One that holds makes all that forgotten. Owned by the scheduler; engine thread.
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

  // The sequence so far, which only grows between calls. Reads a bounded part of what is new in it;
  // until it has read all, it drafts nothing.
  void Read(std::span<const TokenId> ids);

  // Drafts for ids, all of which have been read; at most `room` of them, maybe none.
  std::vector<TokenId> Draft(std::span<const TokenId> ids, int room) const;

  // Whether drafts are likely once the id that now is being computed is known: worth waiting for it.
  bool Expects(std::span<const TokenId> ids) const { return !Draft(ids, 1).empty(); }

  // A step of the sequence ended and gave it num_accepted + 1 ids.
  void OnStep(int num_drafted, int num_accepted);

 private:
  const int max_drafts_;
  PromptLookup lookup_;
  bool has_read_all_ = false;
  int length_;             // of the next draft
  int num_failures_ = 0;   // steps in a row in which no draft held
  int pause_ = 0;          // ids to come without drafts
};

}  // namespace sluice::worker
