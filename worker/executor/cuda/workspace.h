// SPDX-License-Identifier: Apache-2.0
// Workspace: the device memory in which one rank computes, beside weights and KV pages: one
// allocation whose layout is a pure function of the model's shapes and the step's bounds
// (WorkspaceLayout), so that the memory plan knows its size before anything is allocated.
//
// Every array is used by one step at a time, in the order of its stream.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/attention/decode_attention.h"
#include "kernels/attention/prefill_attention.h"
#include "worker/device/device_buffer.h"
#include "worker/executor/cuda/device_weights.h"
#include "worker/executor/cuda/memory_plan.h"
#include "worker/model/qwen3_config.h"

namespace sluice::worker {

// What one step can be at most.
struct StepBounds {
  int max_tokens = 0;         // --max-batched-tokens
  int max_rows = 0;           // RowIds are below this
  int max_logits = 0;         // tokens of a step after which one is sampled
  int max_pages_per_row = 0;  // of --max-model-len
};

// Offsets in bytes, and the shapes at most; T: max_tokens, r: of this rank.
struct WorkspaceLayout {
  int64_t residual = 0;      // f32 [T][hidden]
  int64_t normed = 0;        // bf16 [T][hidden]: what the next linear reads
  int64_t squares = 0;       // f32 [kMaxScaledRows][kRowParts]: of normed's RowScale
  int64_t angles = 0;        // float2 [T][head_dim / 2]
  int64_t q = 0;             // bf16 [T][r's query heads][head_dim]
  int64_t attended = 0;      // bf16, as q
  int64_t gated = 0;         // bf16 [T][r's intermediate]
  int64_t linear_out = 0;    // partial sums, or bf16 [T][r's outputs]: of qkv and gate_up
  int64_t row_parallel = 0;  // f32 [T][hidden]: of o and down, summed over ranks
  int64_t dequantized = 0;   // bf16: one AWQ linear
  int64_t matmul = 0;        // cuBLASLt's own
  int64_t decode = 0;        // DecodeWorkspace's arrays, of decode_shape
  int64_t prefill_out = 0;   // PrefillWorkspace::partial_out
  int64_t prefill_sums = 0;  // PrefillWorkspace::partial_sums
  int64_t prefill_rows = 0;  // PrefillWorkspace::rows
  int64_t head_in = 0;       // bf16 [max_logits][hidden]
  int64_t logits = 0;        // f32 [ranks, on rank 0][max_logits][r's vocabulary]
  int64_t page_tables = 0;   // i32 [max_rows][max_pages_per_row]
  int64_t bytes = 0;

  kernels::attention::DecodeWorkspaceShape decode_shape;
  WorkspaceSizes sizes;  // the same by what makes it larger, without what is not in here
};

// weights: the rank's. num_sms: multiprocessors of the GPU.
WorkspaceLayout LayOutWorkspace(const Qwen3Config& config, const WeightLayout& weights,
                                const StepBounds& bounds, int rank, int tp_size, int num_sms);

struct Workspace {
  device::DeviceBuffer memory;  // what all pointers point into
  float* residual = nullptr;
  __nv_bfloat16* normed = nullptr;
  float* squares = nullptr;
  float2* angles = nullptr;
  __nv_bfloat16* q = nullptr;
  __nv_bfloat16* attended = nullptr;
  __nv_bfloat16* gated = nullptr;
  void* linear_out = nullptr;
  float* row_parallel = nullptr;
  __nv_bfloat16* dequantized = nullptr;
  void* matmul = nullptr;
  kernels::attention::DecodeWorkspace decode;
  kernels::attention::PrefillWorkspace prefill;
  __nv_bfloat16* head_in = nullptr;
  float* logits = nullptr;
  int32_t* page_tables = nullptr;
};

absl::StatusOr<Workspace> AllocateWorkspace(const WorkspaceLayout& layout);

}  // namespace sluice::worker
