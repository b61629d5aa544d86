// SPDX-License-Identifier: Apache-2.0
// The lexer: template source to tokens, with Jinja's white space rules (-, +, trim_blocks and
// lstrip_blocks on, one trailing newline dropped) applied on the way, so that the parser sees only
// data, tags and expressions. Comments and raw blocks end here. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

enum class TokenType {
  kData,
  kBlockBegin,
  kBlockEnd,
  kVariableBegin,
  kVariableEnd,
  kName,
  kString,
  kNumber,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 1;
  std::string text;  // data, name, operator, or the string with its escapes resolved
  Value number;      // of kNumber

  bool IsOperator(std::string_view symbol) const {
    return type == TokenType::kOperator && text == symbol;
  }
  bool IsName(std::string_view name) const { return type == TokenType::kName && text == name; }
  std::string Describe() const;
};

// The tokens, ended by one kEnd. INVALID_ARGUMENT with the line.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

// INVALID_ARGUMENT "line N: message".
absl::Status ErrorAtLine(int line, std::string_view message);

}  // namespace sluice::gateway::jinja
