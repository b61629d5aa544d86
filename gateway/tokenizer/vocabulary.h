// SPDX-License-Identifier: Apache-2.0
// Vocabulary: ids, the bytes they stand for, and the merges between them, checked for sense. What
// both encoders are built from. Immutable after Create; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/tokenizer/tokenizer_json.h"

namespace sluice::gateway {

// Two adjacent tokens become one. Their priority is their place in the list, lower first.
struct Merge {
  TokenId left;
  TokenId right;
  TokenId result;
};

class Vocabulary {
 public:
  // Refuses ids given twice, merges of unknown tokens, a missing byte, and added tokens whose ids
  // or bytes Hugging Face would see differently.
  static absl::StatusOr<Vocabulary> Create(const TokenizerJson& json);

  // One more than the largest id; ids below it may be unused.
  TokenId size() const { return static_cast<TokenId>(spans_.size()); }

  std::optional<std::string_view> Bytes(TokenId id) const;
  std::optional<std::string> Spelling(TokenId id) const;

  // The id of one byte.
  TokenId ByteId(unsigned char byte) const { return byte_ids_[byte]; }

  std::span<const Merge> merges() const { return merges_; }

  // Tokens of the model that text can match: spelled in the byte-level alphabet, added tokens left
  // out.
  std::span<const TokenId> model_ids() const { return model_ids_; }

 private:
  using SpellingIndex = std::unordered_map<std::string_view, TokenId>;  // into the TokenizerJson

  struct ByteSpan {
    uint32_t begin = 0;
    uint32_t size = 0;
    bool used = false;
    bool is_spelled_in_bytes = true;  // false: the spelling is text outside the byte-level alphabet
  };

  absl::Status AddToken(TokenId id, std::string_view spelling, const std::string& path);
  absl::Status AddModelTokens(const TokenizerJson& json, SpellingIndex& index);
  absl::Status AddAddedTokens(const TokenizerJson& json, const SpellingIndex& index);
  absl::Status AddMerges(const TokenizerJson& json, const SpellingIndex& index);
  absl::Status FindByteIds(const SpellingIndex& index);

  std::string bytes_;            // of all tokens, joined
  std::vector<ByteSpan> spans_;  // by id, into bytes_
  std::array<TokenId, 256> byte_ids_{};
  std::vector<Merge> merges_;
  std::vector<TokenId> model_ids_;
};

}  // namespace sluice::gateway
