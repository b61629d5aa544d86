// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/added_token_matcher.h"

#include <algorithm>

namespace sluice::gateway {
namespace {

unsigned char FirstByte(const AddedToken* token) {
  return static_cast<unsigned char>(token->content[0]);
}

bool Touches(ByteRange token, std::span<const ByteRange> plain) {
  auto it = std::partition_point(plain.begin(), plain.end(),
                                 [&](const ByteRange& range) { return range.end <= token.begin; });
  while (it != plain.end() && it->begin == it->end) ++it;  // empty ranges hold no byte
  return it != plain.end() && it->begin < token.end;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::span<const AddedToken> tokens) {
  for (const AddedToken& token : tokens) tokens_.push_back(&token);
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken* a, const AddedToken* b) {
    if (FirstByte(a) != FirstByte(b)) return FirstByte(a) < FirstByte(b);
    return a->content.size() > b->content.size();
  });
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    Slice& slice = by_first_byte_[FirstByte(tokens_[i])];
    if (slice.end == 0) slice.begin = i;
    slice.end = i + 1;
  }
  if (!tokens_.empty() && FirstByte(tokens_.front()) == FirstByte(tokens_.back())) {
    only_first_byte_ = tokens_.front()->content[0];
  }
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::Find(
    std::string_view text, size_t from, std::span<const ByteRange> plain) const {
  if (tokens_.empty()) return std::nullopt;
  for (size_t pos = from; pos < text.size(); ++pos) {
    if (only_first_byte_.has_value()) {
      pos = text.find(*only_first_byte_, pos);
      if (pos == std::string_view::npos) return std::nullopt;
    }
    const Slice slice = by_first_byte_[static_cast<unsigned char>(text[pos])];
    for (uint32_t i = slice.begin; i < slice.end; ++i) {
      const std::string& content = tokens_[i]->content;
      if (text.compare(pos, content.size(), content) != 0) continue;
      const ByteRange range = {.begin = pos, .end = pos + content.size()};
      if (!Touches(range, plain)) return Match{.range = range, .id = tokens_[i]->id};
    }
  }
  return std::nullopt;
}

}  // namespace sluice::gateway
