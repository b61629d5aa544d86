// SPDX-License-Identifier: Apache-2.0
// How one request wants its tokens chosen. Plain data: the service fills and validates it, the
// engine enforces the limits, rank 0's sampler applies the rest. Fields mean what
// sluice.worker.v1.SamplingParams says.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "worker/base/ids.h"

namespace sluice::worker {

struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1]
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::vector<TokenId> allowed_token_ids;  // empty: all
  std::vector<TokenId> banned_token_ids;
  int max_tokens = 0;  // 0: up to the context length
  int min_tokens = 0;
  bool ignore_eos = false;
  std::vector<TokenId> stop_token_ids;
  std::optional<int> logprobs;  // the chosen id's, and the most likely k (0..20)
  uint64_t seed = 0;
  std::optional<int> prompt_logprobs;  // those of the prompt's ids, and the most likely k (0..20)
};

}  // namespace sluice::worker
