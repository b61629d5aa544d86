// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/device_weights.h"

#include <algorithm>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/model/rope_frequencies.h"
#include "worker/model/tensor_names.h"

namespace sluice::worker {
namespace {

constexpr int64_t kBf16Bytes = 2;

// Hands out aligned places one after the other.
class ArenaLayout {
 public:
  int64_t Place(int64_t bytes) {
    const int64_t offset = bytes_;
    bytes_ += (bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
    return offset;
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

// F16 where all of them have it; else bf16, which other types are rounded to.
kernels::awq::ScaleType ScaleTypeOf(const Qwen3Config& config,
                                    std::initializer_list<LinearShape> linears,
                                    const Checkpoint* checkpoint) {
  using kernels::awq::ScaleType;
  if (checkpoint == nullptr) return ScaleType::kBf16;
  for (const LinearShape& linear : linears) {
    const std::vector<ExpectedTensor> tensors = LinearTensors(config, linear);
    if (checkpoint->Find(tensors[2].name)->dtype != DType::kF16) return ScaleType::kBf16;
  }
  return ScaleType::kF16;
}

// Linears over one input, cut by outputs; one linear cut by inputs where by_inputs.
absl::StatusOr<LinearLayout> PlaceLinear(const Qwen3Config& config, int tp_size, bool by_inputs,
                                         std::initializer_list<LinearShape> linears,
                                         const Checkpoint* checkpoint, ArenaLayout* arena) {
  const LinearShape& first = *linears.begin();
  LinearLayout layout;
  layout.is_awq = IsAwq(config, first.module);
  layout.inputs = static_cast<int>(by_inputs ? first.full_inputs / tp_size : first.full_inputs);
  for (const LinearShape& linear : linears) {
    layout.outputs +=
        static_cast<int>(by_inputs ? linear.full_outputs : linear.full_outputs / tp_size);
    if (IsAwq(config, linear.module) != layout.is_awq) {
      return absl::InvalidArgumentError(absl::StrCat(
          "config.json: quantization_config makes one of ", first.module, " and ", linear.module,
          " AWQ and leaves the other dense; a GPU runs them as one, use --device cpu"));
    }
  }
  if (layout.is_awq) layout.scale_type = ScaleTypeOf(config, linears, checkpoint);
  layout.offset = arena->Place(layout.bytes());
  return layout;
}

DeviceLinear LinearAt(const device::DeviceBuffer& arena, const LinearLayout& layout) {
  DeviceLinear linear;
  linear.outputs = layout.outputs;
  linear.inputs = layout.inputs;
  if (layout.is_awq) {
    linear.awq.tiles = arena.As<void>(layout.offset);
    linear.awq.outputs = layout.outputs;
    linear.awq.inputs = layout.inputs;
    linear.awq.scale_type = layout.scale_type;
  } else {
    linear.dense = arena.As<__nv_bfloat16>(layout.offset);
  }
  return linear;
}

}  // namespace

int64_t LinearLayout::bytes() const {
  return is_awq ? kernels::awq::PackedAwq{.outputs = outputs, .inputs = inputs}.bytes()
                : int64_t{outputs} * inputs * kBf16Bytes;
}

int64_t LinearLayout::content_bytes() const {
  return is_awq ? kernels::awq::PackedAwq{.outputs = outputs, .inputs = inputs}.content_bytes()
                : bytes();
}

int64_t WeightLayout::max_awq_elements() const {
  int64_t most = 0;
  for (const LayerLayout& layer : layers) {
    for (const LinearLayout* linear : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
      if (linear->is_awq) most = std::max(most, int64_t{linear->outputs} * linear->inputs);
    }
  }
  return most;
}

absl::StatusOr<WeightLayout> LayOutWeights(const Qwen3Config& config, int tp_size,
                                           const Checkpoint* checkpoint) {
  ArenaLayout arena;
  WeightLayout layout;
  const int64_t norm_bytes = config.hidden_size * kBf16Bytes;
  layout.vocab_rows = config.vocab_size / tp_size;
  const int64_t table_bytes = layout.vocab_rows * config.hidden_size * kBf16Bytes;
  layout.embedding = arena.Place(table_bytes);
  layout.lm_head = config.tie_word_embeddings ? layout.embedding : arena.Place(table_bytes);
  for (int i = 0; i < config.num_layers; ++i) {
    const std::vector<LinearShape> linears = LayerLinears(config, i);
    LayerLayout layer;
    layer.input_norm = arena.Place(norm_bytes);
    layer.post_attention_norm = arena.Place(norm_bytes);
    layer.q_norm = arena.Place(kHeadDim * kBf16Bytes);
    layer.k_norm = arena.Place(kHeadDim * kBf16Bytes);
    const auto place = [&](bool by_inputs, std::initializer_list<LinearShape> side_by_side) {
      return PlaceLinear(config, tp_size, by_inputs, side_by_side, checkpoint, &arena);
    };
    SLUICE_ASSIGN_OR_RETURN(layer.qkv, place(false, {linears[0], linears[1], linears[2]}));
    SLUICE_ASSIGN_OR_RETURN(layer.o, place(true, {linears[3]}));
    SLUICE_ASSIGN_OR_RETURN(layer.gate_up, place(false, {linears[4], linears[5]}));
    SLUICE_ASSIGN_OR_RETURN(layer.down, place(true, {linears[6]}));
    layout.layers.push_back(layer);
  }
  layout.final_norm = arena.Place(norm_bytes);
  layout.inv_freq = arena.Place(kHeadDim / 2 * int64_t{sizeof(float)});
  layout.bytes = arena.bytes();
  return layout;
}

absl::StatusOr<DeviceWeights> AllocateWeights(const Qwen3Config& config, const WeightLayout& layout,
                                              int rank) {
  DeviceWeights weights;
  SLUICE_ASSIGN_OR_RETURN(weights.arena,
                          device::DeviceBuffer::Allocate(layout.bytes, "the weights"));
  const device::DeviceBuffer& arena = weights.arena;
  weights.embedding = arena.As<__nv_bfloat16>(layout.embedding);
  weights.lm_head = arena.As<__nv_bfloat16>(layout.lm_head);
  weights.first_id = static_cast<int>(rank * layout.vocab_rows);
  weights.vocab_rows = static_cast<int>(layout.vocab_rows);
  weights.final_norm = arena.As<__nv_bfloat16>(layout.final_norm);
  weights.inv_freq = arena.As<float>(layout.inv_freq);
  weights.attention_factor = RopeFrequenciesOf(config).attention_factor;
  for (const LayerLayout& layer : layout.layers) {
    weights.layers.push_back(
        {.input_norm = arena.As<__nv_bfloat16>(layer.input_norm),
         .post_attention_norm = arena.As<__nv_bfloat16>(layer.post_attention_norm),
         .q_norm = arena.As<__nv_bfloat16>(layer.q_norm),
         .k_norm = arena.As<__nv_bfloat16>(layer.k_norm),
         .qkv = LinearAt(arena, layer.qkv),
         .o = LinearAt(arena, layer.o),
         .gate_up = LinearAt(arena, layer.gate_up),
         .down = LinearAt(arena, layer.down)});
  }
  return weights;
}

}  // namespace sluice::worker
