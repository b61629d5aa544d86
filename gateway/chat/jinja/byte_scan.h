// SPDX-License-Identifier: Apache-2.0
// Scans over text eight bytes at a time, for the loops that see every byte of a prompt several
// times. Pure; any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::gateway::jinja {

inline uint64_t LoadWord(const char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

constexpr uint64_t kEachByte = 0x0101010101010101;
constexpr uint64_t kHighBits = 0x80 * kEachByte;

// Not zero where any byte of the word is zero.
inline uint64_t AnyZeroByte(uint64_t word) { return (word - kEachByte) & ~word & kHighBits; }

// The first position from pos on that is not ASCII.
inline size_t SkipAscii(std::string_view text, size_t pos) {
  while (pos + 8 <= text.size() && (LoadWord(text.data() + pos) & kHighBits) == 0) pos += 8;
  while (pos < text.size() && static_cast<unsigned char>(text[pos]) < 0x80) ++pos;
  return pos;
}

// The first position from pos on that JSON does not hold as it is: a quote, a backslash or a
// control character.
inline size_t SkipPlainJson(std::string_view text, size_t pos) {
  while (pos + 8 <= text.size()) {
    const uint64_t word = LoadWord(text.data() + pos);
    // A byte is below 0x20 where subtracting that borrows and its high bit was clear.
    const uint64_t control = (word - 0x20 * kEachByte) & ~word & kHighBits;
    if ((control | AnyZeroByte(word ^ ('"' * kEachByte)) |
         AnyZeroByte(word ^ ('\\' * kEachByte))) != 0) {
      break;
    }
    pos += 8;
  }
  while (pos < text.size() && static_cast<unsigned char>(text[pos]) >= 0x20 && text[pos] != '"' &&
         text[pos] != '\\') {
    ++pos;
  }
  return pos;
}

// How many bytes continue a UTF-8 sequence.
inline size_t CountContinuationBytes(std::string_view text) {
  size_t count = 0;
  size_t pos = 0;
  for (; pos + 8 <= text.size(); pos += 8) {
    const uint64_t word = LoadWord(text.data() + pos);
    count += static_cast<size_t>(std::popcount(word & ~(word << 1) & kHighBits));
  }
  for (; pos < text.size(); ++pos) {
    count += (static_cast<unsigned char>(text[pos]) & 0xc0) == 0x80;
  }
  return count;
}

}  // namespace sluice::gateway::jinja
