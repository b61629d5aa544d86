// SPDX-License-Identifier: Apache-2.0
// RowOutputs: what each row has generated so far, as far as later steps need it: the last id on
// every rank, and on rank 0 what penalties and draws depend on. Used by the step thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/sampling/token_history.h"
#include "worker/base/ids.h"
#include "worker/base/step_plan.h"

namespace sluice::worker {

class RowOutputs {
 public:
  struct Row {
    TokenId last_sampled = -1;
    // Rank 0 only.
    std::shared_ptr<const RowAdd::Sampling> sampling;
    kernels::cpu::TokenHistory history;  // filled when the parameters use a penalty
    int64_t num_outputs = 0;             // ids generated, sampling->output included
  };

  explicit RowOutputs(int max_rows) : rows_(static_cast<size_t>(max_rows)) {}

  // Added rows begin anew. REQUIRES: a row table took the plan.
  void Apply(const StepPlan& plan);
  // The row's next token was sampled. Rows may be appended to in parallel, each by one thread.
  void Append(RowId row, TokenId id);

  const Row& row(RowId row) const { return rows_[static_cast<size_t>(row)]; }

 private:
  std::vector<Row> rows_;
};

}  // namespace sluice::worker
