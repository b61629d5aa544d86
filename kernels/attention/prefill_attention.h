// SPDX-License-Identifier: Apache-2.0
// Causal attention of rows that have many query tokens, over paged KV that already holds their keys
// and values (a chunk attends to all chunks before it). A tile's tokens with all query heads of a
// KV head are cut into items of 128 rows; for an item a block goes over the row's pages from the
// last one that it sees to the first, two at a time, with the online softmax and the overlap of
// FlashAttention-3 (arXiv:2407.08608) on wgmma. There is a block for each multiprocessor. Where
// items are too few to keep all of them busy (drafts behind long contexts, ranks with few heads),
// the context of each is cut into pieces, which a second kernel combines in order.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/kv_pages.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::attention {

inline constexpr int kPrefillTileTokens = 128;

// Up to kPrefillTileTokens neighbouring tokens of one row.
struct PrefillTile {
  int32_t row = 0;             // of page_tables
  int32_t first_token = 0;     // of the step's tokens
  int32_t num_tokens = 0;      // 1 .. kPrefillTileTokens
  int32_t first_position = 0;  // of the first token in its row
};

// Device memory for what pieces leave. Rows: of one query head of a token and a piece.
struct PrefillWorkspace {
  float* partial_out = nullptr;    // [rows][kHeadDim], aligned to 16 bytes
  float2* partial_sums = nullptr;  // [rows]: maximum, sum
  int64_t rows = 0;  // with fewer than is worth it, contexts are cut less or not at all
};

// Rows with which any step's contexts are cut as far as is worth it.
int64_t PrefillPartialRows(int num_sms);

struct PrefillAttention {
  const __nv_bfloat16* q = nullptr;  // [tokens][num_q_heads][kHeadDim], aligned to 16 bytes
  KvPages pages;
  const int32_t* page_tables = nullptr;  // device, [rows][max_pages]
  int max_pages = 0;
  const PrefillTile* tiles = nullptr;  // device; those with the most pages first balance best
  int num_tiles = 0;
  int num_tokens = 0;   // of q and out
  int tile_tokens = 0;  // of all tiles together
  int max_slots = 0;    // that any tile's last token sees: how far contexts are worth cutting
  int num_q_heads = 0;  // a multiple of the KV heads
  float scale = 0.0f;
  int num_sms = 0;
  PrefillWorkspace workspace;
  __nv_bfloat16* out = nullptr;  // [tokens][num_q_heads][kHeadDim]
};

// One kernel, or two where contexts are cut. Keys and values of all of the tiles' tokens are in
// their pages before.
LaunchResult RunPrefillAttention(const PrefillAttention& attention, cudaStream_t stream);

}  // namespace sluice::kernels::attention
