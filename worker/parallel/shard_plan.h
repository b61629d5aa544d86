// SPDX-License-Identifier: Apache-2.0
// Which part of a full tensor a rank holds: pure arithmetic. Column-parallel linears are cut along
// their outputs, row-parallel ones along their inputs, the embedding and lm_head along the
// vocabulary; all into equal contiguous slices.
#pragma once

#include <cstdint>

namespace sluice::worker {

struct Slice {
  int64_t begin = 0;
  int64_t size = 0;
};

// REQUIRES: world_size divides full_size (CheckTpSize has seen to it), 0 <= rank < world_size.
constexpr Slice ShardOf(int64_t full_size, int rank, int world_size) {
  const int64_t local_size = full_size / world_size;
  return {rank * local_size, local_size};
}

}  // namespace sluice::worker
