// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/partition.h"
#include "kernels/cpu/simd/kernel_table.h"

namespace sluice::kernels::cpu {
namespace {

static_assert(kKvPageSlots == simd::kPageSlots && kMaxHeadDim == simd::kMaxDim &&
              kMaxGroup == simd::kMaxTileRows);

// Neighbouring tokens of one row, in ascending positions, that share a kernel call.
struct Run {
  int64_t begin;
  int num_tokens;
};

std::vector<Run> FindRuns(const TokenPlace* places, int64_t num_tokens, int max_tokens) {
  std::vector<Run> runs;
  for (int64_t t = 0; t < num_tokens; ++t) {
    const bool continues = !runs.empty() && runs.back().num_tokens < max_tokens &&
                           places[t].page_table == places[t - 1].page_table &&
                           places[t].position >= places[t - 1].position;
    if (continues) {
      ++runs.back().num_tokens;
    } else {
      runs.push_back({t, 1});
    }
  }
  return runs;
}

}  // namespace

void WriteKv(const KvPages& pages, const TokenPlace* places, int64_t num_tokens, const float* k,
             const float* v, int64_t kv_stride, ThreadPool& pool) {
  const int64_t dim = pages.head_dim;
  const int64_t width = pages.num_kv_heads * dim;
  ForRanges(num_tokens, MinRowsPerTask(width), pool, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t page = places[t].page_table[places[t].position / kKvPageSlots];
      const int64_t slot = places[t].position % kKvPageSlots;
      float* keys = pages.keys + page * pages.page_floats() + slot;
      float* values = pages.values + page * pages.page_floats() + slot * dim;
      for (int64_t i = 0; i < width; ++i) keys[i * kKvPageSlots] = k[t * kv_stride + i];
      for (int h = 0; h < pages.num_kv_heads; ++h) {
        std::copy_n(v + t * kv_stride + h * dim, dim, values + h * kKvPageSlots * dim);
      }
    }
  });
}

void PagedAttention(const KvPages& pages, const TokenPlace* places, int64_t num_tokens,
                    const float* q, int64_t q_stride, int num_q_heads, float scale, float* out,
                    int64_t out_stride, ThreadPool& pool) {
  const simd::KernelTable& kernels = simd::Active();
  const int group = num_q_heads / pages.num_kv_heads;
  const std::vector<Run> runs = FindRuns(places, num_tokens, std::max(1, kMaxGroup / group));
  const int64_t head_floats = int64_t{kKvPageSlots} * pages.head_dim;
  pool.ParallelFor(static_cast<int>(runs.size()) * pages.num_kv_heads, [&](int task) {
    const Run& run = runs[task / pages.num_kv_heads];
    const int kv_head = task % pages.num_kv_heads;
    const float* query[kMaxGroup];
    float* output[kMaxGroup];
    int32_t position[kMaxGroup];
    int rows = 0;
    for (int64_t t = run.begin; t < run.begin + run.num_tokens; ++t) {
      for (int g = 0; g < group; ++g, ++rows) {
        const int64_t head = int64_t{kv_head} * group + g;
        query[rows] = q + t * q_stride + head * pages.head_dim;
        output[rows] = out + t * out_stride + head * pages.head_dim;
        position[rows] = places[t].position;
      }
    }
    simd::AttentionArgs args{};
    args.keys = pages.keys + kv_head * head_floats;
    args.values = pages.values + kv_head * head_floats;
    args.page_floats = pages.page_floats();
    args.page_table = places[run.begin].page_table;
    args.head_dim = pages.head_dim;
    args.scale = scale;
    args.num_rows = rows;
    args.q = query;
    args.out = output;
    args.position = position;
    kernels.attention(args);
  });
}

}  // namespace sluice::kernels::cpu
