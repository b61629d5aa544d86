// SPDX-License-Identifier: Apache-2.0
// CharProperties: one byte per code point, two loads away: its class for the pre-tokenizer, and
// whether normalizing has to look at it. Built from unicode_tables at first use and immutable then;
// any thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "gateway/tokenizer/unicode_tables.h"

namespace sluice::gateway {

class CharProperties {
 public:
  static const CharProperties& Get();

  // REQUIRES: at most U+10FFFF.
  CharClass ClassOf(char32_t c) const { return static_cast<CharClass>(Entry(c) & kClassMask); }

  // True for combining marks, for characters that NFC replaces, and for those that may join the
  // character before them. A text without any of these is in NFC.
  bool MattersToNfc(char32_t c) const { return (Entry(c) & kNfcBit) != 0; }

 private:
  static constexpr uint8_t kClassMask = 3;
  static constexpr uint8_t kNfcBit = 4;
  static constexpr int kBlockBits = 7;
  static constexpr uint32_t kBlockSize = 1 << kBlockBits;

  CharProperties();
  uint8_t Entry(char32_t c) const {
    return entries_[block_[c >> kBlockBits] + (c & (kBlockSize - 1))];
  }

  // Equal blocks of 128 code points are stored once.
  std::array<uint16_t, 0x110000 / kBlockSize> block_;  // start of the block in entries_
  std::vector<uint8_t> entries_;
};

}  // namespace sluice::gateway
