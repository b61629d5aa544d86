// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/byte_level.h"

#include <array>

#include "gateway/tokenizer/utf8.h"

namespace sluice::gateway {
namespace {

constexpr size_t kCharacters = 0x144;  // one more than the largest character in use

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, kCharacters> byte{};  // -1: not of the alphabet
};

// Printable Latin-1 stands for itself; the other bytes get U+0100 and following, in order.
constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet;
  for (int16_t& byte : alphabet.byte) byte = -1;
  char32_t next = 0x100;
  for (size_t b = 0; b < 256; ++b) {
    const bool itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    const char32_t c = itself ? static_cast<char32_t>(b) : next++;
    alphabet.character[b] = c;
    alphabet.byte[c] = static_cast<int16_t>(b);
  }
  return alphabet;
}
constexpr Alphabet kAlphabet = MakeAlphabet();

}  // namespace

std::optional<std::string> BytesOfSpelling(std::string_view spelling) {
  std::string bytes;
  for (size_t pos = 0; pos < spelling.size();) {
    const DecodedChar c = DecodeUtf8(&spelling[pos]);
    if (c.code_point >= kCharacters || kAlphabet.byte[c.code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(kAlphabet.byte[c.code_point]);
    pos += c.bytes;
  }
  return bytes;
}

std::string SpellingOfBytes(std::string_view bytes) {
  std::string spelling;
  for (char b : bytes) AppendUtf8(kAlphabet.character[static_cast<unsigned char>(b)], spelling);
  return spelling;
}

}  // namespace sluice::gateway
