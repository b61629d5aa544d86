// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/random_ids.h"

#include <random>

namespace sluice::gateway {
namespace {

// SplitMix64: one multiply-and-shift round per draw, every key gives a different first draw.
uint64_t Next(uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t RandomSeed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

std::string HexId(uint64_t key, int digits) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (uint64_t bits = 0, left = 0; static_cast<int>(out.size()) < digits; bits >>= 4, --left) {
    if (left == 0) {
      bits = Next(key);
      left = 16;
    }
    out += kHex[bits & 0xF];
  }
  return out;
}

}  // namespace sluice::gateway
