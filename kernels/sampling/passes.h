// SPDX-License-Identifier: Apache-2.0
// The passes over logits that sampling and scoring are made of, in the order in which they run.
// Each is one kernel, reads what the ones before it left in the workspace, and decides by itself
// what each row of logits needs. Used by kernels/sampling alone.
//
//   scan    the largest value of each segment, before temperature; whether a logit is bad
//   weigh   the sum of the weights exp(value - max) of each segment; lists the ids that can be
//           among so many most likely (log probabilities), or counts and weighs ids by their
//           distance from the largest value. Not for top_k, but very large ones
//   gather  lists the ids that top_p can keep, as those counts and weights show
//   select  lists the ids that top_k can keep; draws the id; lists the most likely
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>

#include "kernels/host/launch_result.h"
#include "kernels/sampling/sample.h"
#include "kernels/sampling/workspace.h"

namespace sluice::kernels::sampling {

struct Passes {
  LogitsView logits;
  bool aligned = false;  // groups of 4 ids can be loaded at once
  int num_segments = 0;
  int num_token_ids = 0;
  int num_logits = 0;
  const int32_t* num_valid = nullptr;

  // To sample: as in Sample.
  SamplerState state;
  const int32_t* rows = nullptr;  // null: nothing is sampled, the ids chosen are scored
  const int32_t* indices = nullptr;
  const int32_t* drafts = nullptr;
  bool processed_logprobs = false;

  // To score: as in ScoreLogits.
  const int32_t* chosen = nullptr;
  const int32_t* top_k = nullptr;

  Logprobs* logprobs = nullptr;
  Workspace workspace;

  // Of the launches.
  int num_sms = 0;
  Domain first_domain = kDrawn;
  int num_domains = kNumDomains;
};

// What is the matter with the logits and sizes of a call; null: nothing. Otherwise fills the common
// members of passes.
const char* PreparePasses(const LogitsView& logits, int num_token_ids, int num_logits,
                          const int32_t* num_valid, int num_sms, void* workspace, Passes* passes);

// Of a pass over the segments of each row of logits (y) in each domain (z). A warp takes a segment
// at a time; there are no more blocks than the GPU holds at once.
inline dim3 SegmentGrid(const Passes& passes, int warps, int blocks_per_sm) {
  const int blocks = std::clamp(blocks_per_sm * passes.num_sms / passes.num_logits, 1,
                                (passes.num_segments + warps - 1) / warps);
  return {static_cast<unsigned>(blocks), static_cast<unsigned>(passes.num_logits),
          static_cast<unsigned>(passes.num_domains)};
}

LaunchResult RunScan(const Passes& passes, cudaStream_t stream);
LaunchResult RunWeigh(const Passes& passes, cudaStream_t stream);
LaunchResult RunGather(const Passes& passes, cudaStream_t stream);
LaunchResult RunSelect(const Passes& passes, cudaStream_t stream);

}  // namespace sluice::kernels::sampling
