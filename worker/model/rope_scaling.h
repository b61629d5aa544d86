// SPDX-License-Identifier: Apache-2.0
// How a model folder or --rope-scaling spells YaRN: rope_scaling with rope_type or type,
// Transformers 5's rope_parameters, and the flag's JSON, which replaces both.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace sluice::worker {

// YaRN, static: the only rope scaling that Qwen3 documents.
struct YarnScaling {
  double factor = 1.0;
  int original_max_position_embeddings = 0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double attention_factor =
      1.0;  // on cos and sin; 0.1 ln(factor) + 1 unless the file says otherwise
};

// nullopt: no scaling. override_json: --rope-scaling's value, empty when not given; {"rope_type":
// "default"} turns the folder's scaling off. Errors name the field.
absl::StatusOr<std::optional<YarnScaling>> ReadRopeScaling(const nlohmann::json& config,
                                                           const std::string& override_json);

std::string YarnScalingJson(const YarnScaling& yarn);

}  // namespace sluice::worker
