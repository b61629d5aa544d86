// SPDX-License-Identifier: Apache-2.0
// Causal attention over paged float32 KV, one function for prefill and decode: a token attends to
// positions 0 ... its own of its row, all of which are already written (WriteKv first). The order
// is fixed: pages ascending from position 0, and per page an online softmax step
//
//   s[t] = (sum over d ascending of fma(q[d], k[t][d])) * scale
//          t < valid, the slots <= position
//
//   m' = max(m, max s[t]);  c = exp(m - m');  p[t] = exp(s[t] - m')
//
//   l = fma(l, c, sum p)
//       16 lanes t mod 16, each ascending, then + 8, + 4, + 2, + 1
//
//   o[d] = o[d] * c, then for t ascending: o[d] = fma(p[t], v[t][d], o[d]);  at the end o[d] / l
//
// (source: the online softmax of FlashAttention-2, arXiv:2307.08691). So a token's output depends
// on its query and its row's KV alone, never on chunking, batch or threads. Slots beyond `valid`
// are never read into a result: they may hold NaN.
#pragma once

#include <cstdint>

#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

// Slots (tokens) of a page.
inline constexpr int kKvPageSlots = 64;
// Bounds of the kernels' fixed scratch.
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kMaxGroup = 48;  // query heads per KV head

// One layer's pages of one rank. Within a page keys are stored [kv_head][head_dim][64] (transposed,
// so that slots are vector lanes), values [kv_head][64][head_dim]. Both arrays are [num_pages] x
// page_floats() f32.
struct KvPages {
  float* keys = nullptr;
  float* values = nullptr;
  int num_kv_heads = 0;
  int head_dim = 0;  // a multiple of 16, at most kMaxHeadDim

  int64_t page_floats() const { return int64_t{num_kv_heads} * kKvPageSlots * head_dim; }
};

// Where one token of a step lives. Tokens of one row that are neighbours in the array, in ascending
// positions, share loads of their pages; any order is correct.
struct TokenPlace {
  const int32_t* page_table = nullptr;  // the row's pages by position / 64
  int32_t position = 0;
};

// Stores k and v of each token into its slot.
//   k, v  [num_tokens][kv_stride] f32, each row num_kv_heads * head_dim values (k after norm and
//   RoPE)
void WriteKv(const KvPages& pages, const TokenPlace* places, int64_t num_tokens, const float* k,
             const float* v, int64_t kv_stride, ThreadPool& pool);

// q    [num_tokens][q_stride] f32, each row num_q_heads * head_dim; query head h reads KV head h /
// group,
//      group = num_q_heads / num_kv_heads (any, up to kMaxGroup)
// out  [num_tokens][out_stride] f32, same shape
void PagedAttention(const KvPages& pages, const TokenPlace* places, int64_t num_tokens,
                    const float* q, int64_t q_stride, int num_q_heads, float scale, float* out,
                    int64_t out_stride, ThreadPool& pool);

}  // namespace sluice::kernels::cpu
