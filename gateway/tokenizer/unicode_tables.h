// SPDX-License-Identifier: Apache-2.0
// What Hugging Face Tokenizers knows of Unicode, as ranges: the data is written by
// tests/reference/unicode_tables.py, which asks the library itself for every code point. Its regex
// engine (Unicode 16) and its normalizer (Unicode 9) are of different ages, so no Unicode library
// would agree with both. Read once, by char_properties.cc and nfc.cc.
#pragma once

#include <cstdint>
#include <span>

namespace sluice::gateway {

// What the pre-tokenizer's regex tells apart: \p{L}, \p{N}, \s, and the rest.
enum class CharClass : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

struct ClassRange {
  char32_t first;
  char32_t last;  // inclusive
  CharClass char_class;
};

// Combining marks: a mark of a lower order comes first in normalized text; equal orders keep
// theirs.
struct MarkRange {
  char32_t first;
  char32_t last;  // inclusive
  uint8_t order;  // from 1
};

// Full canonical decomposition, Hangul syllables left out.
struct Decomposition {
  char32_t code_point;
  char32_t parts[4];  // zero after the last one
};

struct Composition {
  char32_t first;
  char32_t second;
  char32_t composite;
};

// Each sorted by its first fields.
std::span<const ClassRange> ClassRanges();
std::span<const MarkRange> MarkRanges();
std::span<const Decomposition> Decompositions();
std::span<const Composition> Compositions();

}  // namespace sluice::gateway
