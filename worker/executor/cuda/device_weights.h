// SPDX-License-Identifier: Apache-2.0
// DeviceWeights: one rank's shard of the model in device memory, in one allocation whose layout is
// a pure function of config.json and tp-size (WeightLayout). Sharded as on the CPU: q, k, v, gate
// and up by outputs, o and down by inputs, embedding and lm_head by vocabulary, norms replicated.
//
// Filled by LoadWeights, immutable then; owned by the executor.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/awq/packed_awq.h"
#include "worker/device/device_buffer.h"
#include "worker/model/qwen3_config.h"
#include "worker/weights/checkpoint.h"

namespace sluice::worker {

// One linear of a rank, or several over one input: their outputs one linear after the other (q, k,
// v), or in turns (gate, up).
struct DeviceLinear {
  kernels::awq::PackedAwq awq;           // tiles null: dense
  const __nv_bfloat16* dense = nullptr;  // [outputs][inputs], or null: AWQ
  int outputs = 0;
  int inputs = 0;

  bool is_awq() const { return dense == nullptr; }
};

struct DeviceLayer {
  const __nv_bfloat16* input_norm = nullptr;           // [hidden]
  const __nv_bfloat16* post_attention_norm = nullptr;  // [hidden]
  const __nv_bfloat16* q_norm = nullptr;               // [head_dim]
  const __nv_bfloat16* k_norm = nullptr;               // [head_dim]
  DeviceLinear qkv;                                    // the rank's q heads, then k's, then v's
  DeviceLinear o;                                      // all outputs of the rank's inputs
  // The rank's gate and up in turns, g0, u0, g1, ...: whoever has two neighbouring outputs, which a
  // lane of each AWQ linear has, has a gate and its up. One order, however it is computed.
  DeviceLinear gate_up;
  DeviceLinear down;  // all outputs of the rank's inputs
};

struct DeviceWeights {
  device::DeviceBuffer arena;                // what all pointers point into
  const __nv_bfloat16* embedding = nullptr;  // [vocab_rows][hidden]: ids from first_id on
  const __nv_bfloat16* lm_head = nullptr;    // [vocab_rows][hidden]; the embedding where it is tied
  int first_id = 0;
  int vocab_rows = 0;
  const __nv_bfloat16* final_norm = nullptr;  // [hidden]
  std::vector<DeviceLayer> layers;
  const float* inv_freq = nullptr;  // [head_dim / 2]
  float attention_factor = 1.0f;    // multiplies cos and sin
};

// Where a linear lies in the arena.
struct LinearLayout {
  int64_t offset = 0;  // bytes, aligned to kWeightAlignment
  bool is_awq = false;
  kernels::awq::ScaleType scale_type = kernels::awq::ScaleType::kBf16;
  int outputs = 0;  // of the rank
  int inputs = 0;

  int64_t bytes() const;          // in memory
  int64_t content_bytes() const;  // of them, what a step reads at least
};

struct LayerLayout {
  int64_t input_norm = 0;  // offsets in bytes, as all below
  int64_t post_attention_norm = 0;
  int64_t q_norm = 0;
  int64_t k_norm = 0;
  LinearLayout qkv, o, gate_up, down;
};

inline constexpr int64_t kWeightAlignment = 256;

struct WeightLayout {
  int64_t bytes = 0;  // of the arena
  int64_t embedding = 0;
  int64_t lm_head = 0;  // equal to embedding where it is tied
  int64_t final_norm = 0;
  int64_t inv_freq = 0;
  int64_t vocab_rows = 0;
  std::vector<LayerLayout> layers;

  // Elements of the largest AWQ linear: what a dequantized one needs as scratch. 0 without AWQ.
  int64_t max_awq_elements() const;
};

// Refuses a layer that has AWQ and dense linears side by side (q, k, v; gate, up), which no
// published checkpoint has. checkpoint: says of which type scales are (sizes do not depend on it);
// null for dummy weights. REQUIRES: CheckTpSize(config, tp_size) is OK.
absl::StatusOr<WeightLayout> LayOutWeights(const Qwen3Config& config, int tp_size,
                                           const Checkpoint* checkpoint);

// The arena with all pointers set and nothing written.
absl::StatusOr<DeviceWeights> AllocateWeights(const Qwen3Config& config, const WeightLayout& layout,
                                              int rank);

}  // namespace sluice::worker
