// SPDX-License-Identifier: Apache-2.0
// AddedTokenMatcher: finds added tokens in raw text, leftmost first and the longest of those that
// begin at one place, as Hugging Face does. Immutable; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

class AddedTokenMatcher {
 public:
  struct Match {
    ByteRange range;
    TokenId id = 0;
  };

  // The tokens must outlive this.
  explicit AddedTokenMatcher(std::span<const AddedToken> tokens);

  // The first added token at or after `from` that touches none of the `plain` ranges (sorted,
  // disjoint).
  std::optional<Match> Find(std::string_view text, size_t from,
                            std::span<const ByteRange> plain) const;

 private:
  std::vector<const AddedToken*> tokens_;  // by first byte, longest first
  struct Slice {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  std::array<Slice, 256> by_first_byte_{};  // into tokens_
  std::optional<char> only_first_byte_;     // when all begin alike, which memchr finds faster
};

}  // namespace sluice::gateway
