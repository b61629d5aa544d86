// SPDX-License-Identifier: Apache-2.0
#include "worker/model/tensor_names.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice::worker {

std::string LayerPrefix(int layer) { return absl::StrCat("model.layers.", layer, "."); }

std::vector<LinearShape> LayerLinears(const Qwen3Config& config, int layer) {
  const std::string attention = absl::StrCat(LayerPrefix(layer), "self_attn.");
  const std::string mlp = absl::StrCat(LayerPrefix(layer), "mlp.");
  const int64_t hidden = config.hidden_size;
  const int64_t ffn = config.intermediate_size;
  return {{absl::StrCat(attention, "q_proj"), config.q_size(), hidden},
          {absl::StrCat(attention, "k_proj"), config.kv_size(), hidden},
          {absl::StrCat(attention, "v_proj"), config.kv_size(), hidden},
          {absl::StrCat(attention, "o_proj"), hidden, config.q_size()},
          {absl::StrCat(mlp, "gate_proj"), ffn, hidden},
          {absl::StrCat(mlp, "up_proj"), ffn, hidden},
          {absl::StrCat(mlp, "down_proj"), hidden, ffn}};
}

bool IsAwq(const Qwen3Config& config, const std::string& module) {
  return config.quantization.has_value() && config.quantization->Converts(module);
}

ExpectedTensor FloatTensor(std::string name, std::vector<int64_t> shape) {
  return {.name = std::move(name),
          .shape = std::move(shape),
          .dtypes = {DType::kBF16, DType::kF16, DType::kF32}};
}

std::vector<ExpectedTensor> LinearTensors(const Qwen3Config& config, const LinearShape& linear) {
  const auto& [module, outputs, inputs] = linear;
  if (!IsAwq(config, module)) {
    return {FloatTensor(absl::StrCat(module, ".weight"), {outputs, inputs})};
  }
  // Eight 4-bit values a word, packed along the outputs.
  return {{.name = absl::StrCat(module, ".qweight"),
           .shape = {inputs, outputs / 8},
           .dtypes = {DType::kI32}},
          {.name = absl::StrCat(module, ".qzeros"),
           .shape = {inputs / kGroupSize, outputs / 8},
           .dtypes = {DType::kI32}},
          FloatTensor(absl::StrCat(module, ".scales"), {inputs / kGroupSize, outputs})};
}

std::vector<ExpectedTensor> AllTensors(const Qwen3Config& config) {
  const int64_t hidden = config.hidden_size;
  std::vector<ExpectedTensor> tensors = {
      FloatTensor(kEmbeddingName, {config.vocab_size, hidden}),
      FloatTensor(kFinalNormName, {hidden}),
      FloatTensor(kLmHeadName, {config.vocab_size, hidden}),
  };
  tensors.back().optional = config.tie_word_embeddings;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::string prefix = LayerPrefix(layer);
    tensors.push_back(FloatTensor(absl::StrCat(prefix, "input_layernorm.weight"), {hidden}));
    tensors.push_back(
        FloatTensor(absl::StrCat(prefix, "post_attention_layernorm.weight"), {hidden}));
    tensors.push_back(FloatTensor(absl::StrCat(prefix, "self_attn.q_norm.weight"), {kHeadDim}));
    tensors.push_back(FloatTensor(absl::StrCat(prefix, "self_attn.k_norm.weight"), {kHeadDim}));
    for (const LinearShape& linear : LayerLinears(config, layer)) {
      for (ExpectedTensor& tensor : LinearTensors(config, linear)) {
        tensors.push_back(std::move(tensor));
      }
    }
  }
  return tensors;
}

int64_t NumParameters(const Qwen3Config& config) {
  const int64_t table = int64_t{config.vocab_size} * config.hidden_size;
  int64_t layer = 2 * config.hidden_size + 2 * kHeadDim;
  for (const LinearShape& linear : LayerLinears(config, 0)) {
    layer += linear.full_outputs * linear.full_inputs;
  }
  return (config.tie_word_embeddings ? 1 : 2) * table + config.num_layers * layer +
         config.hidden_size;
}

}  // namespace sluice::worker
