// SPDX-License-Identifier: Apache-2.0
// generation_config.json: which ids end a sequence, and the sampling that the model's makers
// advise. Absent fields stay absent: who applies them (the gateway, as request defaults) must know
// what the file said.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/base/ids.h"

namespace sluice::worker {

struct GenerationConfig {
  // Every one of them stops; from config.json's eos_token_id where generation_config.json has none.
  std::vector<TokenId> eos_ids;
  std::optional<bool> do_sample;  // false: greedy, whatever temperature says
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
};

// Parses the text of generation_config.json (empty: the file does not exist) over config.json's
// text. Errors name the file and the field.
absl::StatusOr<GenerationConfig> ParseGenerationConfig(const std::string& generation_config_json,
                                                       const std::string& config_json);

}  // namespace sluice::worker
