// SPDX-License-Identifier: Apache-2.0
// CompletionRequest: a checked /v1/completions request. The prompt is the caller's own template:
// added tokens in it are control tokens, as in Hugging Face. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/openai/generation_options.h"

namespace sluice::gateway {

inline constexpr int kMaxPrompts = 128;

using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  std::string model;                      // empty: the served model
  std::vector<CompletionPrompt> prompts;  // 1 to kMaxPrompts; choices are numbered prompt * n + i
  GenerationOptions generation;
  StreamOptions stream;
  std::vector<std::string> unknown_fields;
};

absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view body);

}  // namespace sluice::gateway
