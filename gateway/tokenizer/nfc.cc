// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/nfc.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "gateway/tokenizer/char_properties.h"
#include "gateway/tokenizer/hangul.h"
#include "gateway/tokenizer/unicode_tables.h"
#include "gateway/tokenizer/utf8.h"

namespace sluice::gateway {
namespace {

// A decomposed character and its combining order; 0 for starters.
struct OrderedChar {
  char32_t code_point;
  uint8_t order;
};

uint8_t MarkOrder(char32_t c) {
  const auto ranges = MarkRanges();
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), c,
                                   [](char32_t x, const MarkRange& r) { return x < r.first; });
  if (it == ranges.begin()) return 0;
  const MarkRange& range = *std::prev(it);
  return c <= range.last ? range.order : 0;
}

void Push(char32_t c, std::vector<OrderedChar>& out) { out.push_back({c, MarkOrder(c)}); }

void Decompose(char32_t c, std::vector<OrderedChar>& out) {
  if (c - hangul::kSyllableBase < hangul::kSyllables) {
    const char32_t index = c - hangul::kSyllableBase;
    const char32_t tail = index % hangul::kTails;
    Push(hangul::kLeadBase + index / (hangul::kVowels * hangul::kTails), out);
    Push(hangul::kVowelBase + index / hangul::kTails % hangul::kVowels, out);
    if (tail != 0) Push(hangul::kTailBase + tail, out);
    return;
  }
  const auto table = Decompositions();
  const auto it =
      std::lower_bound(table.begin(), table.end(), c,
                       [](const Decomposition& d, char32_t x) { return d.code_point < x; });
  if (it == table.end() || it->code_point != c) {
    Push(c, out);
    return;
  }
  for (char32_t part : it->parts) {
    if (part != 0) Push(part, out);
  }
}

// The composite of two characters; 0 when there is none.
char32_t Compose(char32_t first, char32_t second) {
  if (first - hangul::kLeadBase < hangul::kLeads && second - hangul::kVowelBase < hangul::kVowels) {
    return hangul::kSyllableBase +
           ((first - hangul::kLeadBase) * hangul::kVowels + (second - hangul::kVowelBase)) *
               hangul::kTails;
  }
  if (first - hangul::kSyllableBase < hangul::kSyllables &&
      (first - hangul::kSyllableBase) % hangul::kTails == 0 && second > hangul::kTailBase &&
      second < hangul::kTailBase + hangul::kTails) {
    return first + (second - hangul::kTailBase);
  }
  static const auto* const composites = [] {
    auto* map = new std::unordered_map<uint64_t, char32_t>;
    for (const Composition& c : Compositions()) {
      map->emplace(static_cast<uint64_t>(c.first) << 32 | c.second, c.composite);
    }
    return map;
  }();
  const auto it = composites->find(static_cast<uint64_t>(first) << 32 | second);
  return it == composites->end() ? 0 : it->second;
}

// Marks into their canonical order; starters stay where they are.
void Reorder(std::vector<OrderedChar>& chars) {
  auto begin = chars.begin();
  while (begin != chars.end()) {
    if (begin->order == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, chars.end(), [](OrderedChar c) { return c.order == 0; });
    std::stable_sort(begin, end, [](OrderedChar a, OrderedChar b) { return a.order < b.order; });
    begin = end;
  }
}

// Canonical composition in place: a character joins the last starter unless a mark of its own order
// or above, or another starter, stands between.
void Recompose(std::vector<OrderedChar>& chars) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t starter = kNone;
  size_t size = 0;
  for (size_t i = 0; i < chars.size(); ++i) {
    const OrderedChar c = chars[i];
    const bool adjacent = starter != kNone && size == starter + 1;
    const bool reachable = adjacent || (starter != kNone && chars[size - 1].order != 0 &&
                                        chars[size - 1].order < c.order);
    if (reachable) {
      if (const char32_t composite = Compose(chars[starter].code_point, c.code_point)) {
        chars[starter].code_point = composite;
        continue;
      }
    }
    if (c.order == 0) starter = size;
    chars[size++] = c;
  }
  chars.resize(size);
}

}  // namespace

std::string NormalizeNfc(std::string_view text) {
  const CharProperties& properties = CharProperties::Get();
  std::string out;
  out.reserve(text.size());
  std::vector<OrderedChar> span;
  size_t copied = 0;  // text[0, copied) is in out
  size_t previous =
      0;  // where the character before pos begins; it may be changed by the one at pos
  size_t pos = 0;
  while (pos < text.size()) {
    DecodedChar c = DecodeUtf8(&text[pos]);
    if (c.code_point < 0x80 || !properties.MattersToNfc(c.code_point)) {
      previous = pos;
      pos += c.bytes;
      continue;
    }
    // From the character before, which is inert alone, up to the next inert one: nothing outside
    // takes part.
    out.append(text, copied, previous - copied);
    span.clear();
    if (previous < pos) Decompose(DecodeUtf8(&text[previous]).code_point, span);
    do {
      Decompose(c.code_point, span);
      pos += c.bytes;
      if (pos == text.size()) break;
      c = DecodeUtf8(&text[pos]);
    } while (properties.MattersToNfc(c.code_point));
    Reorder(span);
    Recompose(span);
    for (const OrderedChar& x : span) AppendUtf8(x.code_point, out);
    copied = previous = pos;
  }
  out.append(text, copied);
  return out;
}

}  // namespace sluice::gateway
