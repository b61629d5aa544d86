// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel Random
// Numbers: As Easy as 1, 2, 3" (SC 2011): 128 random bits as a pure function of a counter and a
// key. No state, so a draw is the same wherever and in whatever order it is made.
#pragma once

#include <array>
#include <cstdint>

namespace sluice::kernels::cpu {

inline std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                          std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

// The draw of one output position: uniform in [0, 1), 53 bits. Key: seed; counter: position,
// choice.
inline double SampleUniform(uint64_t seed, uint32_t choice, uint64_t output_position) {
  const std::array<uint32_t, 4> bits =
      Philox4x32({static_cast<uint32_t>(output_position),
                  static_cast<uint32_t>(output_position >> 32), choice, 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return static_cast<double>((uint64_t{bits[0]} << 32 | bits[1]) >> 11) * 0x1p-53;
}

}  // namespace sluice::kernels::cpu
