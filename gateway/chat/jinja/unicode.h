// SPDX-License-Identifier: Apache-2.0
// UTF-8 and the parts of Python's str that depend on Unicode: what is white space, how case maps,
// what repr() escapes. Jinja templates see Python strings, so these follow Python and not the C
// locale. Pure functions over valid UTF-8; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::gateway::jinja {

// The code point that starts at text[pos], and its length in bytes. REQUIRES: valid UTF-8, pos at a
// boundary.
struct CodePoint {
  char32_t value = 0;
  size_t length = 1;
};
CodePoint DecodeAt(std::string_view text, size_t pos);
// The code point that ends before text[end]. REQUIRES: valid UTF-8, 0 < end, end at a boundary.
CodePoint DecodeBefore(std::string_view text, size_t end);
void AppendUtf8(char32_t point, std::string* out);

// Byte offset of the first byte that is not valid UTF-8 (surrogates and overlong forms count as
// invalid); npos where all is valid.
size_t FindInvalidUtf8(std::string_view text);
size_t CountCodePoints(std::string_view text);
// Byte offset of code point number index; text.size() where the text is shorter.
size_t ByteOffset(std::string_view text, size_t index);

// Python's str predicates for one code point.
bool IsSpace(char32_t point);  // str.isspace: what strip() strips
bool IsLineBreak(char32_t point);
bool IsAlpha(char32_t point);
bool IsDecimal(char32_t point);
bool IsDigit(char32_t point);
bool IsNumericCategory(
    char32_t point);  // Nd, Nl and No; the ideographs that count are not among them
bool IsUpper(char32_t point);
bool IsLower(char32_t point);
bool IsTitle(char32_t point);
bool IsPrintable(char32_t point);  // what repr() leaves as it is
bool IsCased(char32_t point);
// Value of a decimal digit of any script, or -1.
int DecimalValue(char32_t point);

// Full case mappings of the code point at pos (the rest of the text decides a final sigma).
void AppendUpper(char32_t point, std::string* out);
void AppendTitle(char32_t point, std::string* out);
void AppendLower(std::string_view text, size_t pos, std::string* out);

}  // namespace sluice::gateway::jinja
