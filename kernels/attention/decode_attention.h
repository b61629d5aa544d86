// SPDX-License-Identifier: Apache-2.0
// Attention of rows that have one query token each, over paged KV. All keys and values of a step,
// row after row and KV head after KV head, are cut into as many equal runs as there are
// multiprocessors, whatever row they belong to, so that all have as much to do however long the
// rows are; the cut is made on the device, once a step, so that a captured graph follows the
// lengths. The warps of a block take turns in its run, 16 slots at a time, with the online softmax
// of FlashAttention-2 (arXiv:2307.08691), keys and values streaming through a ring of each warp in
// shared memory, on tensor cores with the slots on the side of 16 rows and the heads of the group,
// padded to 8, on that of 8. What the warps have of a row and KV head is added up in shared memory;
// of those that were cut, the last block to have left its piece adds up the pieces, in order.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention/kv_pages.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::attention {

inline constexpr int kMaxGroup = 8;  // query heads of one KV head

// A block's part of a step, in units of 16 slots.
struct alignas(16) DecodeShare {
  int32_t begin = 0, end = 0;  // of all units: rows in order, of each its KV heads in order
  int32_t row = 0;             // that of the first
  int32_t first_of_row = 0;    // that row's first unit
};

// Device memory that one step's plan and the layers' partial results live in.
struct DecodeWorkspace {
  DecodeShare* shares = nullptr;       // [num_sms]
  int32_t* units_per_block = nullptr;  // [1]
  int32_t* first_unit = nullptr;       // [rows + 1]: of each row, for one KV head; the last: all
  int32_t* arrivals = nullptr;         // [rows][num_kv_heads]: pieces left; 0 between launches
  float2* partial_sums = nullptr;      // [num_sms][2][kMaxGroup]: maximum, sum
  float* partial_out = nullptr;        // [num_sms][2][kMaxGroup][kHeadDim]
};

struct DecodeWorkspaceShape {
  int rows = 0;  // of a step at most
  int num_kv_heads = 0;
  int num_sms = 0;
};

// Divides memory, aligned to 16 bytes, or with null only adds up: returns the bytes.
size_t DivideDecodeWorkspace(void* memory, const DecodeWorkspaceShape& shape,
                             DecodeWorkspace* workspace);

struct DecodePlan {
  const int32_t* lengths = nullptr;  // device, [rows]: tokens of each row, the query's included
  int rows = 0;
  int num_kv_heads = 0;
  int num_sms = 0;
  DecodeWorkspace workspace;
};

// Once a step. Rows of length 0 get no work, and their output is left as it is.
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

// Once a layer, after the step's plan; the keys and values of the rows' tokens are in their pages
// before. The kernels of its chain (device/launch.cuh) may write no more of what it reads than q
// and each row's last key and value: the plan and the tables are of an earlier chain, the other
// keys and values of earlier steps.
LaunchResult RunDecodeAttention(const DecodeAttention& attention, cudaStream_t stream);

}  // namespace sluice::kernels::attention
