// SPDX-License-Identifier: Apache-2.0
// Scheduler::Sequence: what the scheduler knows of one continuation. Owned by the scheduler; its
// source files alone include this.
#pragma once

#include <memory>
#include <vector>

#include "worker/scheduler/drafter.h"
#include "worker/scheduler/scheduler.h"

namespace sluice::worker {

struct Scheduler::Sequence {
  SequenceSpec spec;
  int64_t arrival = 0;
  std::vector<TokenId> tokens;     // prompt and output, as far as known
  std::vector<PrefixHash> hashes;  // of the first pages of tokens, as far as they were needed
  int samples_in_flight = 0;       // output ids that planned steps will add
  int steps_in_flight = 0;         // steps that name this sequence
  StepId last_step = 0;            // the last of them
  int scored = 0;  // tokens of the prompt after which the next id's scoring is planned
  bool was_admitted = false;
  bool removed = false;  // kept only because steps in flight name it

  // The rest is meaningful while the sequence holds a row.
  RowId row = -1;
  bool sampled = false;    // the row has a "token sampled last"
  int planned = 0;         // positions whose computation is planned
  int num_offered = 0;     // first pages that need no publishing any more
  StepId prompt_step = 0;  // the step that completes the prompt's pages; 0: not planned yet
  std::vector<PageId> pages;
  std::unique_ptr<Drafter> drafter;  // once there was speculation

  int num_known() const { return static_cast<int>(tokens.size()); }
  int num_prompt() const { return static_cast<int>(spec.prompt->size()); }
  // Known ids that still have to be computed.
  int num_remaining() const { return num_known() - planned; }
  // Ids there will be once all steps in flight have ended.
  int length() const { return num_known() + samples_in_flight; }
  bool at_limit() const { return length() >= spec.max_length; }
  bool decoding() const { return sampled; }
  // With all of them accepted the step after them is the last one.
  int most_drafts() const { return spec.max_length - length() - 1; }
};

}  // namespace sluice::worker
