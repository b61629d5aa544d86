// SPDX-License-Identifier: Apache-2.0
// Attention of rows that have one query token each, over paged KV. The work of a step is cut into
// items, a run of slots of one row for all query heads of one KV head, sized so that all warps of
// the GPU have about as much to do however long the rows are; the cut is made on the device, once a
// step, so that a captured graph follows the lengths. A warp computes an item with the online
// softmax of FlashAttention-2 (arXiv:2307.08691), keys and values streaming through its own ring in
// shared memory, on tensor cores with the slots on the side of 16 rows and the heads of the group,
// padded to 8, on that of 8. Rows that were cut are combined in order by a second kernel.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/kv_pages.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::attention {

inline constexpr int kMaxGroup = 8;  // query heads of one KV head

// Device memory that one step's plan and the layers' partial results live in.
struct DecodeWorkspace {
  int32_t* slots_per_item = nullptr;  // [1]
  int32_t* first_item = nullptr;      // [rows + 1]: of each row, for one KV head; the last: all
  float* partial_out = nullptr;       // [max_items][num_kv_heads][kMaxGroup][kHeadDim]
  float2* partial_sums = nullptr;     // [max_items][num_kv_heads][kMaxGroup]: maximum, sum
};

// Items a plan makes at most, for one KV head: what partial_out needs.
int MaxDecodeItems(int rows, int num_kv_heads, int num_sms);

struct DecodePlan {
  const int32_t* lengths = nullptr;  // device, [rows]: tokens of each row, the query's included
  int rows = 0;
  int num_kv_heads = 0;
  int num_sms = 0;
  DecodeWorkspace workspace;
};

// Once a step. Rows of length 0 get no item, and their output is left as it is.
LaunchResult RunDecodePlan(const DecodePlan& plan, cudaStream_t stream);

struct DecodeAttention {
  const __nv_bfloat16* q = nullptr;  // [rows][num_q_heads][kHeadDim]
  KvPages pages;
  const int32_t* page_tables = nullptr;  // device, [any number][max_pages]
  const int32_t* table_rows = nullptr;   // device, [rows]: which of page_tables a row uses
  int max_pages = 0;
  const int32_t* lengths = nullptr;  // as in the plan
  int rows = 0;
  int num_q_heads = 0;
  float scale = 0.0f;
  int num_sms = 0;
  DecodeWorkspace workspace;
  __nv_bfloat16* out = nullptr;  // [rows][num_q_heads][kHeadDim]
};

LaunchResult RunDecodeAttention(const DecodeAttention& attention, cudaStream_t stream);

}  // namespace sluice::kernels::attention
