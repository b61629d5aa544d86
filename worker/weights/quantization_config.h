// SPDX-License-Identifier: Apache-2.0
// QuantizationConfig: config.json's quantization_config. One scheme is known, AutoAWQ "gemm" with 4
// bits, groups of 128 and zero points; everything else is refused by name, because a wrong guess
// decodes into noise.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::worker {

struct QuantizationConfig {
  int bits = 4;
  int group_size = 128;
  // Modules whose name contains one of these stay dense, as AutoAWQ and Transformers read it.
  std::vector<std::string> modules_to_not_convert;

  bool Converts(absl::string_view module) const;
};

// From config.json's text; nullopt when quantization_config is absent or null. Accepts the keys of
// Transformers (bits, group_size) and of AutoAWQ's own writer (w_bit, q_group_size).
absl::StatusOr<std::optional<QuantizationConfig>> ParseQuantizationConfig(
    absl::string_view config_json);

}  // namespace sluice::worker
