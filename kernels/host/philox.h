// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel Random
// Numbers: As Easy as 1, 2, 3" (SC 2011): 128 random bits as a pure function of a counter and a
// key. No state, so a draw is the same wherever and in whatever order it is made, and the CPU and
// the GPU draw alike.
#pragma once

#include <cstdint>

#include "kernels/host/host_device.h"

namespace sluice::kernels {

struct PhiloxWords {
  uint32_t word[4];

  friend bool operator==(const PhiloxWords&, const PhiloxWords&) = default;
};

SLUICE_HOST_DEVICE inline PhiloxWords Philox4x32(PhiloxWords counter, uint32_t key0,
                                                 uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter.word[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The draw of one output position, 53 bits. Key: seed; counter: position, choice.
SLUICE_HOST_DEVICE inline uint64_t SampleBits(uint64_t seed, uint32_t choice,
                                              uint64_t output_position) {
  const PhiloxWords bits =
      Philox4x32({{static_cast<uint32_t>(output_position),
                   static_cast<uint32_t>(output_position >> 32), choice, 0}},
                 static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  return (uint64_t{bits.word[0]} << 32 | bits.word[1]) >> 11;
}

// The same as a number in [0, 1).
inline double SampleUniform(uint64_t seed, uint32_t choice, uint64_t output_position) {
  return static_cast<double>(SampleBits(seed, choice, output_position)) * 0x1p-53;
}

}  // namespace sluice::kernels
