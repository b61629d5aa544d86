// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/embedding.h"

#include <algorithm>

#include "kernels/cpu/partition.h"

namespace sluice::kernels::cpu {

void EmbeddingGather(const EmbeddingShard& shard, std::span<const int32_t> ids, float* out,
                     ThreadPool& pool) {
  ForRanges(static_cast<int64_t>(ids.size()), MinRowsPerTask(shard.width), pool,
            [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) {
                float* row = out + t * shard.width;
                const int64_t local = ids[t] - shard.vocab_begin;
                if (local < 0 || local >= shard.num_rows) {
                  std::fill_n(row, shard.width, 0.0f);
                  continue;
                }
                for (int64_t i = 0; i < shard.width; ++i) {
                  row[i] = LoadFloat(shard.rows, shard.type, local * shard.width + i);
                }
              }
            });
}

}  // namespace sluice::kernels::cpu
