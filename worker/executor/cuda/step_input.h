// SPDX-License-Identifier: Apache-2.0
// StepInput: what a step's kernels read beside weights and cache, packed so that one copy brings it
// to the device. Its arrays lie one after the other at offsets that follow from their lengths
// alone, so that a CUDA graph captured for padded lengths finds them where it expects them.
//
// Tokens are reordered: those of rows with one token come first (decode attention takes them), then
// the others row by row (prefill attention takes tiles of them). Pure; no CUDA calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention/page_table.h"
#include "kernels/attention/prefill_attention.h"
#include "worker/executor/row_table.h"

namespace sluice::worker {

// Lengths of the arrays; those of a graph are padded.
struct StepShape {
  int tokens = 0;
  int decodes = 0;     // of them, the first ones: rows with one token
  int tiles = 0;       // of prefill attention
  int logits = 0;      // tokens after which one is sampled
  int tile_slots = 0;  // slots that the tile with the longest context sees; no array's length

  bool operator==(const StepShape&) const = default;
};

// Where the arrays begin, in bytes from the start of the input.
struct StepLayout {
  explicit StepLayout(const StepShape& shape);

  // Of each token.
  int64_t ids = 0;        // i32; -1 - row: the id that the row sampled last
  int64_t positions = 0;  // i32
  int64_t slots = 0;      // i32: page * 64 + slot of its key and value; 0 (scratch) when it pads
  // Of each decoding row.
  int64_t decode_rows = 0;     // i32
  int64_t decode_lengths = 0;  // i32: tokens including this one; 0 when it pads
  int64_t tiles = 0;           // PrefillTile, those with the most pages first
  // Of each token after which one is sampled. A row with drafts has a run of them.
  int64_t logits_tokens = 0;  // i32: index of the token
  int64_t logits_rows = 0;    // i32; -1 when it pads
  int64_t run_indices = 0;    // i32: 0 for a run's first, then 1, 2, ...
  int64_t next_drafts = 0;    // i32: the draft that follows, or -1
  int64_t bytes = 0;          // in all
};

// A run of consecutive tokens after which ids of a prompt are scored.
struct ScoredTokens {
  int32_t first_token = 0;  // in the reordered tokens
  int32_t num_tokens = 0;
};

class StepInput {
 public:
  // REQUIRES: table has just applied the batch's plan; both outlive this.
  StepInput(const StepBatch& batch, const RowTable& table);

  const StepShape& shape() const { return shape_; }
  // Every row has one token and samples after it: what graphs are captured for. The logits' tokens
  // are then all tokens in order.
  bool only_decodes() const { return only_decodes_; }
  // In the order of batch.scored.
  const std::vector<ScoredTokens>& scored() const { return scored_; }

  // Writes the arrays for a shape that is shape() or padded. to: StepLayout(shape).bytes, aligned
  // to 16.
  void Pack(const StepShape& shape, std::byte* to) const;

 private:
  void PackTokens(const StepLayout& layout, std::byte* to) const;
  void PackLogits(const StepLayout& layout, std::byte* to) const;

  const StepBatch& batch_;
  const RowTable& table_;
  StepShape shape_;
  bool only_decodes_ = false;
  std::vector<int32_t> run_order_;     // indices into batch.runs
  std::vector<int32_t> first_of_run_;  // beside batch.runs: the first token's new index
  std::vector<int32_t> new_token_;     // beside batch.logits_of: the token's new index
  std::vector<kernels::attention::PrefillTile> tiles_;
  std::vector<ScoredTokens> scored_;
};

// Where in the device's page tables a plan's appended pages go. REQUIRES: table has just applied
// the plan.
std::vector<kernels::attention::PageTableEntry> PageTableEntries(const StepPlan& plan,
                                                                 const RowTable& table);

}  // namespace sluice::worker
