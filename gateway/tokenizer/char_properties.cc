// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/char_properties.h"

#include <map>
#include <string>

#include "gateway/tokenizer/hangul.h"

namespace sluice::gateway {

const CharProperties& CharProperties::Get() {
  static const CharProperties properties;
  return properties;
}

CharProperties::CharProperties() {
  std::string flat(0x110000, '\0');
  for (const ClassRange& range : ClassRanges()) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      flat[c] = static_cast<char>(range.char_class);
    }
  }
  const auto mark = [&](char32_t c) { flat[c] = static_cast<char>(flat[c] | kNfcBit); };
  for (const MarkRange& range : MarkRanges()) {
    for (char32_t c = range.first; c <= range.last; ++c) mark(c);
  }
  // Characters that decompose and come back by composition are inert alone; the others are
  // replaced.
  for (const Decomposition& decomposition : Decompositions()) mark(decomposition.code_point);
  for (const Composition& composition : Compositions()) {
    flat[composition.composite] = static_cast<char>(flat[composition.composite] & ~kNfcBit);
  }
  for (const Composition& composition : Compositions()) mark(composition.second);
  for (char32_t c = hangul::kVowelBase; c < hangul::kVowelBase + hangul::kVowels; ++c) mark(c);
  for (char32_t c = hangul::kTailBase + 1; c < hangul::kTailBase + hangul::kTails; ++c) mark(c);

  std::map<std::string, uint16_t> seen;
  for (size_t i = 0; i < block_.size(); ++i) {
    const std::string block = flat.substr(i * kBlockSize, kBlockSize);
    const auto [it, is_new] = seen.try_emplace(block, static_cast<uint16_t>(entries_.size()));
    if (is_new) entries_.insert(entries_.end(), block.begin(), block.end());
    block_[i] = it->second;
  }
}

}  // namespace sluice::gateway
