// SPDX-License-Identifier: Apache-2.0
// /tokenize and /detokenize in vLLM's shape: requests and their answers. Pure functions, any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/openai/chat_request.h"

namespace sluice::gateway {

struct TokenizeRequest {
  std::string model;
  std::variant<std::string, ConversationOptions>
      input;  // `prompt`, or `messages` and what belongs to them
  bool return_token_strs = false;
};

struct TokenizeResult {
  std::vector<int32_t> tokens;
  std::optional<std::vector<std::string>> token_strs;
  int max_model_len = 0;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> tokens;
};

absl::StatusOr<TokenizeRequest> ParseTokenizeRequest(std::string_view body);
absl::StatusOr<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body);

// {"count":..,"max_model_len":..,"tokens":[..],"token_strs":null|[..]}
std::string TokenizeResponseBody(const TokenizeResult& result);
// {"prompt":".."}
std::string DetokenizeResponseBody(std::string_view text);

}  // namespace sluice::gateway
