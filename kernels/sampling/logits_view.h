// SPDX-License-Identifier: Apache-2.0
// LogitsView: f32 logits as the ranks of a group leave them, shard after shard; one rank is one
// shard.
#pragma once

#include <cstdint>

#include "kernels/host/host_device.h"

namespace sluice::kernels::sampling {

// The largest vocabulary: weights of a whole row, each at most 2^44, must add up in 64 bits.
inline constexpr int kMaxVocab = 1 << 18;

struct LogitsView {
  const float* base = nullptr;  // [world][logits rows][shard_width]; device memory
  int world = 1;
  int shard_width = 0;
  int64_t shard_stride = 0;  // floats from a shard to the next; any value when world is 1

  SLUICE_HOST_DEVICE int vocab() const { return world * shard_width; }
  // Where the logit of (row, id) is. REQUIRES: 0 <= id < vocab().
  SLUICE_HOST_DEVICE const float* At(int row, int id) const {
    const float* of_row = base + int64_t{row} * shard_width;
    if (world == 1) return of_row + id;  // no division
    return of_row + int64_t{id / shard_width} * shard_stride + id % shard_width;
  }
};

}  // namespace sluice::kernels::sampling
