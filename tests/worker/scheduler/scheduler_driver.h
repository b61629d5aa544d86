// SPDX-License-Identifier: Apache-2.0
// One step at a time for tests of single decisions: planned, completed and settled at once, every
// sampling row getting the same id.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "worker/scheduler/scheduler.h"

namespace sluice::worker {

inline SequenceSpec Spec(SequenceId id, int prompt_length, int max_tokens, int priority = 0) {
  // Prompts of different sequences have nothing in common.
  std::vector<TokenId> prompt(static_cast<size_t>(prompt_length));
  std::iota(prompt.begin(), prompt.end(), static_cast<TokenId>(100 + 1000 * id));
  return {.id = id,
          .priority = priority,
          .max_length = prompt_length + max_tokens,
          .prompt = std::make_shared<const std::vector<TokenId>>(std::move(prompt)),
          .params = std::make_shared<const SamplingParams>()};
}

inline std::vector<SequenceId> Ids(const std::vector<Admission>& admitted) {
  std::vector<SequenceId> ids;
  for (const Admission& admission : admitted) ids.push_back(admission.id);
  return ids;
}

inline std::optional<PlannedStep> RunStep(Scheduler& scheduler) {
  auto step = scheduler.Plan();
  if (!step) return step;
  size_t samples = 0;
  for (const RowStep& row : step->plan.rows) samples += row.sample ? 1 : 0;
  scheduler.CompleteStep(std::vector<SampleOutcome>(samples, {.ids = {7}, .finite = true}));
  scheduler.SetStepDone(step->plan.step);
  return step;
}

// Tokens that a row computes in a step; 0: it is not part of it.
inline int TokensOf(const PlannedStep& step, RowId row) {
  for (const RowStep& one : step.plan.rows) {
    if (one.row == row) return one.num_tokens();
  }
  return 0;
}

}  // namespace sluice::worker
