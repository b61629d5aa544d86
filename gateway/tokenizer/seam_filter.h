// SPDX-License-Identifier: Apache-2.0
// SeamFilter: from the bytes on both sides of a place in a text alone, can any merge join what
// meets there? Mostly not where Chinese words meet, and then two tokens fit without a look at
// either. One-sided: false is certain, true means that the merges have to be asked. Built by
// BacktrackingEncoder, immutable then; any thread.
#pragma once

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace sluice::gateway {

class SeamFilter {
 public:
  explicit SeamFilter(size_t merges)
      : words_(std::bit_ceil(std::max<size_t>(64, merges * kBitsPerMerge)) / 64),
        shift_(64 - std::countr_zero(words_.size() * 64)) {}

  // A merge of tokens of these bytes. REQUIRES: neither is empty.
  void Add(std::string_view left, std::string_view right) {
    if (left.size() == 1) {
      single_left_->set(SingleKey(left.back(), right.front()));
    } else {
      const size_t left_bytes = std::min(left.size(), kSeen);
      const size_t right_bytes = left_bytes == 2 ? 1 : std::min(right.size(), kSeen);
      const size_t bit =
          Bit(Key(left.substr(left.size() - left_bytes), right.substr(0, right_bytes)));
      words_[bit / 64] |= uint64_t{1} << (bit % 64);
    }
  }

  // Whether tokens that end and begin at pos may be joined, or parts of them. REQUIRES: pos is
  // inside of text.
  bool MayMerge(std::string_view text, size_t pos) const {
    if (single_left_->test(SingleKey(text[pos - 1], text[pos]))) return true;
    if (pos < 2) return false;
    if (Has(Key(text.substr(pos - 2, 2), text.substr(pos, 1)))) return true;
    if (pos < kSeen) return false;
    const std::string_view left = text.substr(pos - kSeen, kSeen);
    for (size_t right_bytes = 1; right_bytes <= std::min(kSeen, text.size() - pos); ++right_bytes) {
      if (Has(Key(left, text.substr(pos, right_bytes)))) return true;
    }
    return false;
  }

 private:
  static constexpr size_t kSeen = 3;  // bytes on either side: a Chinese character
  static constexpr size_t kBitsPerMerge = 12;

  static size_t SingleKey(char left, char right) {
    return static_cast<size_t>(static_cast<unsigned char>(left)) << 8 |
           static_cast<unsigned char>(right);
  }

  // Distinct for sides of different sizes.
  static uint64_t Key(std::string_view left, std::string_view right) {
    uint64_t key = left.size() << 2 | right.size();
    for (char c : left) key = key << 8 | static_cast<unsigned char>(c);
    for (char c : right) key = key << 8 | static_cast<unsigned char>(c);
    return key;
  }
  size_t Bit(uint64_t key) const { return (key * 0x9E3779B97F4A7C15u) >> shift_; }
  bool Has(uint64_t key) const {
    const size_t bit = Bit(key);
    return (words_[bit / 64] >> (bit % 64) & 1) != 0;
  }

  // Merges whose left side is one byte, by it and the first byte of the right side. On the heap: 8
  // kB.
  std::unique_ptr<std::bitset<1 << 16>> single_left_ = std::make_unique<std::bitset<1 << 16>>();
  std::vector<uint64_t> words_;  // the other merges, hashed
  int shift_;
};

}  // namespace sluice::gateway
