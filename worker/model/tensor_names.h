// SPDX-License-Identifier: Apache-2.0
// The tensors that a Qwen3 checkpoint of given config consists of, by Hugging Face's names: what a
// folder is checked against, and what loading asks for. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/model/qwen3_config.h"
#include "worker/weights/checkpoint.h"

namespace sluice::worker {

inline constexpr char kEmbeddingName[] = "model.embed_tokens.weight";
inline constexpr char kFinalNormName[] = "model.norm.weight";
inline constexpr char kLmHeadName[] = "lm_head.weight";

// A linear of the decoder, before sharding.
struct LinearShape {
  std::string module;  // "model.layers.0.mlp.down_proj"
  int64_t full_outputs = 0;
  int64_t full_inputs = 0;
};

// "model.layers.3." and the like, for the modules of one layer.
std::string LayerPrefix(int layer);
// q, k, v, o, gate, up, down.
std::vector<LinearShape> LayerLinears(const Qwen3Config& config, int layer);

bool IsAwq(const Qwen3Config& config, const std::string& module);
// One dense weight, or the three tensors of an AWQ linear: qweight, qzeros, scales.
std::vector<ExpectedTensor> LinearTensors(const Qwen3Config& config, const LinearShape& linear);
// A norm's weight or a table: any float type.
ExpectedTensor FloatTensor(std::string name, std::vector<int64_t> shape);

// Everything. A tied lm_head.weight may be present (Qwen3-0.6B ships a copy) and is not used.
std::vector<ExpectedTensor> AllTensors(const Qwen3Config& config);

// Weights of the model, counting a 4-bit weight as one.
int64_t NumParameters(const Qwen3Config& config);

}  // namespace sluice::worker
