// SPDX-License-Identifier: Apache-2.0
// Qwen3Config: what config.json says about the model, checked. Data of the checkpoint, never mixed
// with flags.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/rope_scaling.h"
#include "worker/weights/quantization_config.h"

namespace sluice::worker {

// Rows of an AWQ group, and the unit in which row-parallel linears are cut.
inline constexpr int kGroupSize = 128;
// Every Qwen3 has heads of this size; the KV page layout and the kernels rely on it.
inline constexpr int kHeadDim = 128;

struct Qwen3Config {
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int vocab_size = 0;  // rows of the embedding, padding rows included
  double rms_norm_eps = 0.0;
  double rope_theta = 0.0;
  bool tie_word_embeddings = false;
  // Longest context: config.json's, or original_max_position_embeddings * factor under YaRN.
  int max_position_embeddings = 0;
  std::optional<YarnScaling> yarn;
  std::optional<QuantizationConfig> quantization;  // absent: every linear is dense
  std::string torch_dtype;  // as written; informational, tensors carry their own

  int q_size() const { return num_heads * kHeadDim; }
  int kv_size() const { return num_kv_heads * kHeadDim; }
  // The rope scaling in force as JSON, for GetModelInfo; empty when there is none.
  std::string RopeScalingJson() const;
};

// Parses config.json's text. rope_scaling_override: see ModelFolderOptions. Errors name the field,
// its value and what is accepted.
absl::StatusOr<Qwen3Config> ParseQwen3Config(const std::string& config_json,
                                             const std::string& rope_scaling_override);

// OK when tp_size ranks can share the model: heads, KV heads, 128-groups and vocabulary must divide
// evenly.
absl::Status CheckTpSize(const Qwen3Config& config, int tp_size);

}  // namespace sluice::worker
