// SPDX-License-Identifier: Apache-2.0
// RowTable: what a rank remembers of the running sequences between steps, advanced by each
// StepPlan's delta; and the batch that a plan makes of it. Every rank keeps the same table, but for
// the sampling parameters, which only rank 0 has. It never knows what was sampled: that lives where
// the executor samples, and steps may be ahead of it.
//
// Plans are checked against the table: a contradiction is a bug of the scheduler, reported as
// INTERNAL before any memory is touched. Used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "worker/base/ids.h"
#include "worker/base/step_plan.h"

namespace sluice::worker {

struct RowTableLimits {
  int max_rows = 0;
  int num_pages = 0;
  int max_batched_tokens = 0;
  int vocab_size = 0;  // rows of the embedding
};

// In StepBatch::ids: the id that the token's row sampled last.
inline constexpr TokenId kSampledLast = -1;

// The tokens of one step, rows one after the other in the plan's order.
struct StepBatch {
  std::vector<TokenId> ids;
  std::vector<int32_t> positions;
  std::vector<int32_t> logits_of;  // indices of the tokens to sample after
  // The tokens of one row.
  struct Run {
    RowId row = 0;
    int32_t first_token = 0;  // index in ids
    int32_t num_tokens = 0;
    int32_t position = 0;  // of the first token in its row
  };
  std::vector<Run> runs;
  struct SampledRow {
    RowId row = 0;
    int first_logits = 0;  // index into logits_of; the drafts' follow
    std::vector<TokenId> drafts{};
    int num_logits() const { return 1 + static_cast<int>(drafts.size()); }
  };
  std::vector<SampledRow> sampled_rows;  // in the plan's order

  // Tokens of one row after which ids of its prompt are scored.
  struct Scored {
    RowId row = 0;
    int32_t first_token = 0;  // index in ids
    int32_t num_tokens = 0;
    int32_t position = 0;  // of the first token in its row
  };
  std::vector<Scored> scored;
};

class RowTable {
 public:
  struct Row {
    bool used = false;
    int32_t position = 0;  // of the next token
    bool sampled = false;  // a step that samples was planned: the row has a last id
    std::vector<PageId> pages;
    std::shared_ptr<const RowAdd::Sampling> sampling;  // rank 0 only
  };

  explicit RowTable(const RowTableLimits& limits);

  // Applies released_rows, added, pages and rows, and fills batch, which is valid until the next
  // call. Page copies are checked here; the caller, who has the memory, makes them before the
  // batch.
  absl::Status Apply(const StepPlan& plan, StepBatch* batch);

  // So many drafts of the row's last step equalled their samples: their keys and values stay.
  void AcceptDrafts(RowId row, int num_accepted);

  const Row& row(RowId row) const { return rows_[static_cast<size_t>(row)]; }

 private:
  absl::Status Release(RowId row);
  absl::Status Add(const RowAdd& add);
  absl::Status AppendPages(const PagesAppend& append);
  absl::Status Check(const PageCopy& copy) const;
  absl::Status Advance(const RowStep& step, StepBatch* batch);
  // nullptr when there is no such row in use.
  Row* Find(RowId row);

  const RowTableLimits limits_;
  std::vector<Row> rows_;
  std::vector<bool> stepped_;  // by RowId: the plan that is being applied has had a step of it
};

}  // namespace sluice::worker
