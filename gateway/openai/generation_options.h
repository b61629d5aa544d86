// SPDX-License-Identifier: Apache-2.0
// What chat and completion requests have in common: sampling, limits, stops, log probabilities.
// Field names and meanings are vLLM's. Filled from JSON by this folder, or by hand by the gRPC
// service, which then calls CheckGenerationOptions so that both front doors refuse the same values
// with the same words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace sluice::gateway {

inline constexpr int kMaxChoices = 128;
inline constexpr int kMaxTopLogprobs = 20;
inline constexpr int kMaxStopStrings = 16;
inline constexpr int kMaxStopStringBytes = 1024;

struct GenerationOptions {
  // Absent: the model's sampling defaults, else the worker's.
  std::optional<float> temperature;                   // [0, 100]; 0 is greedy
  std::optional<float> top_p;                         // (0, 1]
  std::optional<int> top_k;                           // -1 and 0: all
  std::optional<float> min_p;                         // [0, 1]
  std::optional<float> presence_penalty;              // [-2, 2]
  std::optional<float> frequency_penalty;             // [-2, 2]
  std::optional<float> repetition_penalty;            // [0.01, 100]
  std::vector<std::pair<int32_t, float>> logit_bias;  // [-100, 100] each
  std::vector<int32_t> allowed_token_ids;             // empty: all
  std::optional<uint64_t> seed;                       // absent: the session draws one
  int n = 1;                                          // [1, kMaxChoices]
  // Absent: up to the context length. At least 1; 0 where something of the prompt is asked for:
  // nothing is generated.
  std::optional<int> max_tokens;
  int min_tokens = 0;
  bool ignore_eos = false;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  std::optional<int> logprobs;  // the chosen id's, and the most likely k (0 to kMaxTopLogprobs)
  std::optional<int> prompt_logprobs;  // the same of the prompt's ids
  bool echo = false;                   // completions: the prompt is told before the answer
  int priority = 0;  // larger runs first; the HTTP field is vLLM's, where smaller does
  std::string cache_salt;
};

// INVALID_ARGUMENT with the field's name. Ids are checked against the vocabulary by the session.
absl::Status CheckGenerationOptions(const GenerationOptions& options);

struct StreamOptions {
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
};

}  // namespace sluice::gateway
