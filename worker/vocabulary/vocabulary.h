// SPDX-License-Identifier: Apache-2.0
// Vocabulary: what the worker knows of tokenizer.json: the bytes of every id and the added tokens.
// For masks, padding ids, control tokens found by content, and the byte values of log
// probabilities. No merges, no text.
//
// Immutable after Load; any thread may read it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/base/ids.h"

namespace sluice::worker {

class Vocabulary {
 public:
  // Reads tokenizer.json (byte-level BPE). Errors name the file and the field.
  static absl::StatusOr<std::unique_ptr<const Vocabulary>> Load(const std::string& path);
  // The same from text; path is for messages only.
  static absl::StatusOr<std::unique_ptr<const Vocabulary>> Parse(absl::string_view json,
                                                                 const std::string& path);

  // One more than the largest id. Embedding rows from here on are padding.
  int size() const { return static_cast<int>(bytes_.size()); }

  // The bytes an id stands for; empty for ids that nothing defines. An added token's are its
  // content.
  const std::string& Bytes(TokenId id) const { return bytes_[static_cast<size_t>(id)]; }

  bool IsAdded(TokenId id) const { return added_[static_cast<size_t>(id)] != Added::kNo; }
  // An added token with special=true, which skip_special_tokens leaves out of text.
  bool IsSpecial(TokenId id) const { return added_[static_cast<size_t>(id)] == Added::kSpecial; }

  // The added token of exactly this content, such as "<|im_end|>".
  std::optional<TokenId> FindAdded(absl::string_view content) const;

  // sha256 of the file's bytes, lower-case hex.
  const std::string& sha256() const { return sha256_; }

 private:
  enum class Added : char { kNo, kOrdinary, kSpecial };

  Vocabulary() = default;

  // Fills bytes_ from model.vocab, byte-level, where no added token stands.
  absl::Status AddOrdinary(const std::vector<std::pair<std::string, uint64_t>>& vocab,
                           const std::string& path);

  std::vector<std::string> bytes_;  // by id
  std::vector<Added> added_;        // by id
  std::unordered_map<std::string, TokenId> added_by_content_;
  std::string sha256_;
};

}  // namespace sluice::worker
