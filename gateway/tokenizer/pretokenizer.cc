// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/pretokenizer.h"

#include <array>

#include "gateway/tokenizer/utf8.h"

namespace sluice::gateway {
namespace {

// Most text is ASCII: its classes without a decode.
constexpr std::array<CharClass, 128> MakeAsciiClasses() {
  std::array<CharClass, 128> classes{};
  for (size_t c = 0; c < classes.size(); ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) classes[c] = CharClass::kLetter;
    if (c >= '0' && c <= '9') classes[c] = CharClass::kNumber;
    if (c == ' ' || (c >= '\t' && c <= '\r')) classes[c] = CharClass::kSpace;
  }
  return classes;
}
constexpr std::array<CharClass, 128> kAsciiClasses = MakeAsciiClasses();

bool IsLineEnd(char c) { return c == '\n' || c == '\r'; }

// Lower case of ASCII letters; other bytes become no letter of a contraction.
char Lower(char c) { return static_cast<char>(c | 0x20); }

// Bytes of the contraction after the apostrophe at begin; 0 when there is none. Case-insensitive
// matching lets U+017F (long s) stand for s; U+212A (Kelvin sign) would stand for k, which no
// contraction has.
size_t ContractionBytes(std::string_view text, size_t begin) {
  const std::string_view rest = text.substr(begin + 1, 2);
  if (rest.empty()) return 0;
  switch (Lower(rest[0])) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    default:
      break;
  }
  if (rest.size() < 2) return 0;
  if (rest == "\u017F") return 3;
  const char first = Lower(rest[0]);
  const char second = Lower(rest[1]);
  const bool found = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                     (first == 'l' && second == 'l');
  return found ? 3 : 0;
}

}  // namespace

inline Pretokenizer::Char Pretokenizer::CharAt(std::string_view text, size_t pos) const {
  if (pos >= text.size()) return {CharClass::kOther, 0};
  const auto byte = static_cast<unsigned char>(text[pos]);
  if (byte < 0x80) return {kAsciiClasses[byte], 1};
  const DecodedChar c = DecodeUtf8(&text[pos]);
  return {properties_.ClassOf(c.code_point), c.bytes};
}

inline size_t Pretokenizer::LettersEnd(std::string_view text, size_t pos) const {
  for (;;) {
    const Char c = CharAt(text, pos);
    if (c.char_class != CharClass::kLetter) return pos;
    pos += c.bytes;
  }
}

// [^\s\p{L}\p{N}]+[\r\n]* from a position that holds such a character.
inline size_t Pretokenizer::PunctuationEnd(std::string_view text, size_t pos) const {
  for (;;) {
    const Char c = CharAt(text, pos);
    if (c.char_class != CharClass::kOther || c.bytes == 0) break;
    pos += c.bytes;
  }
  while (pos < text.size() && IsLineEnd(text[pos])) ++pos;
  return pos;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ from a position that holds a space.
inline size_t Pretokenizer::SpacesEnd(std::string_view text, size_t begin) const {
  size_t pos = begin;
  size_t last_begin = begin;  // of the last space
  size_t line_end = 0;        // after the last line end
  for (;;) {
    const Char c = CharAt(text, pos);
    if (c.char_class != CharClass::kSpace) break;
    last_begin = pos;
    pos += c.bytes;
    if (IsLineEnd(text[last_begin])) line_end = pos;
  }
  if (line_end != 0) return line_end;
  if (pos == text.size() || last_begin == begin) return pos;
  return last_begin;
}

size_t Pretokenizer::PieceEnd(std::string_view text, size_t begin) const {
  const char lead = text[begin];
  if (lead == '\'') {
    if (const size_t bytes = ContractionBytes(text, begin)) return begin + bytes;
  }
  const Char first = CharAt(text, begin);
  const size_t after = begin + first.bytes;
  if (first.char_class == CharClass::kLetter) return LettersEnd(text, after);
  if (first.char_class == CharClass::kNumber) return after;
  const Char second = CharAt(text, after);
  if (second.char_class == CharClass::kLetter && !IsLineEnd(lead)) {
    return LettersEnd(text, after + second.bytes);
  }
  if (first.char_class == CharClass::kOther) return PunctuationEnd(text, after);
  const bool before_punctuation = second.char_class == CharClass::kOther && second.bytes != 0;
  if (lead == ' ' && before_punctuation) return PunctuationEnd(text, after);
  return SpacesEnd(text, begin);
}

}  // namespace sluice::gateway
