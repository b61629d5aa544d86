// SPDX-License-Identifier: Apache-2.0
// Between the qkv linear and attention: Qwen3's norm of every query and key head, rotary position
// embedding (NeoX halves), and the keys and values into their pages. Formulas as in
// kernels/cpu/rope.h, in fp32; what is stored is rounded to bf16 once.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/kv_pages.h"
#include "kernels/awq/linear_output.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::rope {

// cos and sin of float(position) * inv_freq[i], times attention_factor, once a step for all layers.
struct RopeAngles {
  const int32_t* positions = nullptr;  // device, [rows]
  const float* inv_freq = nullptr;     // device, [kHeadDim / 2]
  float attention_factor = 1.0f;
  int rows = 0;
  float2* out = nullptr;  // [rows][kHeadDim / 2], cos and sin
};

LaunchResult RunRopeAngles(const RopeAngles& angles, cudaStream_t stream);

struct HeadNormRope {
  awq::LinearOutput qkv;  // [rows][(num_q_heads + 2 num_kv_heads) * kHeadDim]
  int num_q_heads = 0;
  const __nv_bfloat16* q_norm = nullptr;  // [kHeadDim]
  const __nv_bfloat16* k_norm = nullptr;  // [kHeadDim]
  float eps = 0.0f;
  const float2* angles = nullptr;  // RopeAngles::out
  // Where a row's key and value go: page * kPageSlots + slot. Rows that pad a batch name page 0.
  const int32_t* slots = nullptr;  // device, [rows]
  attention::KvPages pages;
  __nv_bfloat16* q = nullptr;  // [rows][num_q_heads][kHeadDim]
};

LaunchResult RunHeadNormRope(const HeadNormRope& params, cudaStream_t stream);

}  // namespace sluice::kernels::rope
