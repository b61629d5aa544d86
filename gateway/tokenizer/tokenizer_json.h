// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json into plain data and refuses what Tokenizer does not do. The file may be
// hostile: nesting, node counts and token sizes are bounded, and every refusal names the JSON path
// and what was found there. What the data means (ids, merges) is checked by Vocabulary.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

// Bounds of what is read; Qwen3's file has 11 MB, 151,669 ids and tokens of up to 256 bytes.
inline constexpr size_t kMaxTokenizerJsonBytes = size_t{256} << 20;
inline constexpr TokenId kMaxTokenId = (1 << 21) - 2;
inline constexpr size_t kMaxTokenBytes = 4096;

struct TokenizerJson {
  std::vector<std::pair<std::string, TokenId>> vocab;       // in the file's order, spelled as there
  std::vector<std::pair<std::string, std::string>> merges;  // by priority, spelled as there
  bool ignore_merges = false;  // a piece that is a token as a whole is never split
  std::vector<AddedToken> added_tokens;
};

absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text);

}  // namespace sluice::gateway
