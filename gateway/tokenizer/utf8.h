// SPDX-License-Identifier: Apache-2.0
// UTF-8 as the tokenizer needs it: a fast decoder for text that was checked before, an encoder, and
// the lossy conversion that Python calls errors="replace". Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::gateway {

struct DecodedChar {
  char32_t code_point;
  uint32_t bytes;
};

// The character that begins at p. REQUIRES: p points at the lead byte of valid UTF-8.
inline DecodedChar DecodeUtf8(const char* p) {
  const auto* b = reinterpret_cast<const unsigned char*>(p);
  if (b[0] < 0x80) return {b[0], 1};
  if (b[0] < 0xE0) return {static_cast<char32_t>((b[0] & 0x1F) << 6 | (b[1] & 0x3F)), 2};
  if (b[0] < 0xF0) {
    return {static_cast<char32_t>((b[0] & 0x0F) << 12 | (b[1] & 0x3F) << 6 | (b[2] & 0x3F)), 3};
  }
  return {static_cast<char32_t>((b[0] & 0x07) << 18 | (b[1] & 0x3F) << 12 | (b[2] & 0x3F) << 6 |
                                (b[3] & 0x3F)),
          4};
}

// REQUIRES: a scalar value (no surrogate, at most U+10FFFF).
void AppendUtf8(char32_t code_point, std::string& out);

// How the bytes of a text begin.
struct Utf8Prefix {
  enum class Kind {
    kValid,       // `bytes` bytes are one character
    kInvalid,     // `bytes` bytes can be no part of a character: one U+FFFD stands for them
    kIncomplete,  // all `bytes` bytes that are there begin a character, and more are needed
  };
  Kind kind;
  uint32_t bytes;
};

// REQUIRES: text is not empty.
Utf8Prefix ClassifyUtf8(std::string_view text);

// Appends `bytes` to out with every maximal ill-formed part replaced by U+FFFD, and returns how
// many bytes were used up: all but an incomplete character at the end (at most 3 bytes).
size_t AppendLossyUtf8(std::string_view bytes, std::string& out);

}  // namespace sluice::gateway
