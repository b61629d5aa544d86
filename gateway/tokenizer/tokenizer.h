// SPDX-License-Identifier: Apache-2.0
// Tokenizer: the text <-> ids mapping of a model folder's tokenizer.json (byte-level BPE with NFC,
// added tokens), equal to Hugging Face Tokenizers id for id. Built once at start, then immutable:
// every method is const and thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::gateway {

using TokenId = int32_t;

// Half-open range of bytes of a text.
struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
};

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;  // left out of decoded text by skip_special_tokens
};

class Tokenizer {
 public:
  // Reads and checks tokenizer.json. A file that needs something this class does not do (another
  // model type, normalizer, pre-tokenizer, decoder) is refused with the JSON path and what was
  // found there.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(
      const std::string& tokenizer_json_path);

  // The same from the file's text.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromJson(std::string_view text);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Ids of a text, which must be valid UTF-8 (INVALID_ARGUMENT with the byte offset otherwise).
  // Added tokens are recognised everywhere but in `plain` (sorted, disjoint ranges: text that a
  // user or a tool wrote): an added token is taken only where none of its bytes lies in such a
  // range. Nothing else depends on the ranges.
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              std::span<const ByteRange> plain = {}) const;

  // Exact bytes of one id; nothing for an id outside the vocabulary. An added token's bytes are its
  // content.
  std::optional<std::string_view> TokenBytes(TokenId id) const;

  // Whole text of ids: bytes joined, invalid UTF-8 replaced by U+FFFD as Python's errors="replace"
  // does. Unknown ids are skipped, as Hugging Face does.
  std::string Decode(std::span<const TokenId> ids, bool skip_special_tokens) const;

  // The id whose whole spelling is `content`, if it is an added token.
  std::optional<TokenId> AddedTokenId(std::string_view content) const;
  bool IsAdded(TokenId id) const;
  bool IsSpecial(TokenId id) const;
  std::span<const AddedToken> added_tokens() const;

  // One more than the largest id.
  int vocab_size() const;

  // The token as tokenizer.json spells it (byte-level alphabet), as /tokenize's token_strs shows
  // it.
  std::optional<std::string> TokenString(TokenId id) const;

  // sha256 of the file, lower-case hex.
  const std::string& sha256() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace sluice::gateway
