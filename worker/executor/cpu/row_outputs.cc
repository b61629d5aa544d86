// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cpu/row_outputs.h"

namespace sluice::worker {
namespace {

bool UsesHistory(const SamplingParams& params) {
  return params.repetition_penalty != 1.0f || params.presence_penalty != 0.0f ||
         params.frequency_penalty != 0.0f;
}

}  // namespace

void RowOutputs::Apply(const StepPlan& plan) {
  for (const RowId released : plan.released_rows) rows_[static_cast<size_t>(released)] = Row();
  for (const RowAdd& add : plan.added) {
    Row& row = rows_[static_cast<size_t>(add.row)];
    row = Row();
    row.sampling = add.sampling;
    if (add.sampling == nullptr) continue;
    row.num_outputs = static_cast<int64_t>(add.sampling->output.size());
    if (UsesHistory(add.sampling->params)) {
      row.history.AddPrompt(add.sampling->prompt);
      row.history.AddOutput(add.sampling->output);
    }
  }
}

void RowOutputs::Append(RowId row, TokenId id) {
  Row& state = rows_[static_cast<size_t>(row)];
  state.last_sampled = id;
  ++state.num_outputs;
  if (state.sampling != nullptr && UsesHistory(state.sampling->params)) {
    state.history.AddOutput({&id, 1});
  }
}

}  // namespace sluice::worker
