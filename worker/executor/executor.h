// SPDX-License-Identifier: Apache-2.0
// Executor: one rank's side of a step. It owns the rank's weights, KV pages and row table, applies
// StepPlans in the order they are submitted, and on rank 0 samples. Two calls, so that step N+1 can
// be planned while step N runs. Implementations: executor/cpu, and the CUDA plugin.
//
// Threads: Submit is called by one thread and Collect by one, which is the same on rank 0 (the
// engine loop) and another on the others (StepPipeline).
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/base/ids.h"
#include "worker/base/step_plan.h"

namespace sluice::worker {

// The chosen id's log probability and the most likely ids' (natural logarithm). Of the raw logits,
// or of what was drawn from, as the executor was told; sluice.worker.v1.TokenLogprobs says what
// that is.
struct TokenLogprobs {
  float logprob = 0.0f;
  std::vector<TokenId> top_ids;  // most likely first
  std::vector<float> top_logprobs;
};

struct SampledToken {
  TokenId id = 0;
  TokenLogprobs logprobs;  // filled when the row asked for log probabilities
};

// One row that sampled.
struct RowSample {
  RowId row = 0;
  // In order of position: one, and another for each draft that the sample before it equals.
  std::vector<SampledToken> tokens;
  // The logits behind these tokens held a NaN or an infinity: no further token is known, and the
  // request must fail.
  bool bad_logits = false;
};

// Of consecutive ids of one row's prompt, each given the ids before it; always of the raw logits.
struct PromptLogprobs {
  RowId row = 0;
  int32_t first_position = 0;  // of the first of these ids in the prompt
  // Logits held a NaN or an infinity: the numbers are meaningless and the request must fail.
  bool bad_logits = false;
  std::vector<TokenLogprobs> logprobs;
};

struct StepResult {
  StepId step = 0;
  std::vector<RowSample> samples;  // rank 0 only; in the order of the plan's rows with sample set
  // Rank 0 only; in the order of the plan's rows that asked for some.
  std::vector<PromptLogprobs> prompt_logprobs;
  std::chrono::nanoseconds duration{0};  // of the whole step
  // Spent in collectives, waiting included. None from GPUs, whose graphs do not time their parts.
  std::optional<std::chrono::nanoseconds> collective_duration;
  // Between the end of the step before and this one's beginning, where the executor measures it:
  // how long the device had nothing to do.
  std::chrono::nanoseconds idle_duration{0};
};

class Executor {
 public:
  virtual ~Executor() = default;

  // KV pages that this rank has, the scratch page included. Constant. Plans name pages below the
  // least of all ranks.
  virtual int num_pages() const = 0;

  // Queues a step and returns at once. REQUIRES: plan.step is one more than the last one; rows,
  // positions and page tables are consistent (the scheduler's invariant). At most two steps are in
  // flight.
  virtual absl::Status Submit(StepPlan plan) = 0;

  // Blocks until the step has run. Steps are collected in the order of submission. An error is
  // final: the rank exits, since collectives can no longer be trusted.
  virtual absl::StatusOr<StepResult> Collect(StepId step) = 0;
};

}  // namespace sluice::worker
