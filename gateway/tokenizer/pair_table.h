// SPDX-License-Identifier: Apache-2.0
// PairTable: (left, right) -> value for the merges of a vocabulary, the most probed structure of
// encoding. Open addressing over 8-byte slots, each holding both tokens and the value in 21 bits
// apiece, so that a probe is one load. Immutable after construction; any thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::gateway {

class PairTable {
 public:
  static constexpr int kValueBits = 21;
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit PairTable(size_t pairs)
      : slots_(std::bit_ceil(pairs + pairs / 2 + 1), kEmpty),
        shift_(64 - std::countr_zero(slots_.size())),
        filter_(std::max<size_t>(1, slots_.size() * kFilterBitsPerSlot / 64)) {}

  // REQUIRES: each below 2^21 - 1, the pair not there yet, no more calls than `pairs`.
  void Insert(uint32_t left, uint32_t right, uint32_t value) {
    const uint64_t key = Key(left, right);
    const size_t bit = FilterBit(key);
    filter_[bit / 64] |= uint64_t{1} << (bit % 64);
    size_t i = Home(key);
    while (slots_[i] != kEmpty) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = key << kValueBits | value;
  }

  // The value of the pair, or kNone.
  uint32_t Find(uint32_t left, uint32_t right) const {
    const uint64_t key = Key(left, right);
    const size_t bit = FilterBit(key);
    if ((filter_[bit / 64] >> (bit % 64) & 1) == 0) return kNone;
    for (size_t i = Home(key);; i = (i + 1) & (slots_.size() - 1)) {
      const uint64_t slot = slots_[i];
      if (slot >> kValueBits == key) return static_cast<uint32_t>(slot & kValueMask);
      if (slot == kEmpty) return kNone;
    }
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  static constexpr uint64_t kValueMask = (uint64_t{1} << kValueBits) - 1;

  static uint64_t Key(uint32_t left, uint32_t right) {
    return static_cast<uint64_t>(left) << kValueBits | right;
  }
  static uint64_t Hash(uint64_t key) { return key * 0x9E3779B97F4A7C15u; }
  size_t Home(uint64_t key) const { return Hash(key) >> shift_; }
  size_t FilterBit(uint64_t key) const {
    return Hash(key) >> (shift_ - std::countr_zero(kFilterBitsPerSlot));
  }

  static constexpr size_t kFilterBitsPerSlot = 4;

  std::vector<uint64_t> slots_;
  int shift_;
  std::vector<uint64_t> filter_;
};

}  // namespace sluice::gateway
