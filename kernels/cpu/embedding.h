// SPDX-License-Identifier: Apache-2.0
// Embedding lookup in a vocabulary shard. Ids of other shards give zeros, so the sum over ranks is
// exact.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/float_type.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

struct EmbeddingShard {
  const void* rows =
      nullptr;  // [num_rows][width] of `type`, row major, any alignment (a mapped file)
  FloatType type = FloatType::kF32;
  int64_t num_rows = 0;
  int64_t width = 0;
  int64_t vocab_begin = 0;  // the id of row 0
};

// out [ids.size()][width] f32.
void EmbeddingGather(const EmbeddingShard& shard, std::span<const int32_t> ids, float* out,
                     ThreadPool& pool);

}  // namespace sluice::kernels::cpu
