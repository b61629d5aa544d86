// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/load_plan.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/model/tensor_names.h"
#include "worker/parallel/shard_plan.h"

namespace sluice::worker {
namespace {

using kernels::awq::kTileOutputs;
using kernels::awq::ScaleType;

constexpr int64_t kBf16Bytes = 2;
constexpr int64_t kValuesPerWord = 8;  // of qweight and qzeros

// The size of equal pieces (multiples of unit) of a whole, as few as hold at most `most` each.
int64_t PieceSize(int64_t whole, int64_t most, int64_t unit) {
  const int64_t capacity = std::max(unit, most / unit * unit);
  const int64_t pieces = (whole + capacity - 1) / capacity;
  return (whole + pieces * unit - 1) / (pieces * unit) * unit;
}

class Planner {
 public:
  Planner(const Qwen3Config& config, int rank, int tp_size, int64_t slot_bytes)
      : config_(config), rank_(rank), tp_size_(tp_size), slot_bytes_(slot_bytes) {}

  // Tensors of floats as bf16, one row after the other from `offset` on: each tensor's first, then
  // each one's second.
  void AddDense(const std::vector<ExpectedTensor>& tensors, Slice rows, Slice columns,
                int64_t offset) {
    const auto num_tensors = static_cast<int64_t>(tensors.size());
    const int64_t row_bytes = columns.size * kBf16Bytes;
    const int64_t most = PieceSize(rows.size, slot_bytes_ / (num_tensors * row_bytes), 1);
    for (int64_t done = 0; done < rows.size; done += most) {
      LoadPiece piece;
      for (const ExpectedTensor& tensor : tensors) {
        piece.parts.push_back(
            {.tensor = tensor,
             .first_row = rows.begin + done,
             .num_rows = std::min(most, rows.size - done),
             .first_column = columns.begin,
             .num_columns = columns.size,
             .staged_offset = static_cast<int64_t>(piece.parts.size()) * row_bytes,
             .row_stride = num_tensors});
      }
      piece.offset = offset + done * num_tensors * row_bytes;
      pieces_.push_back(std::move(piece));
    }
  }

  void AddNorm(std::string name, int64_t size, int64_t offset) {
    AddDense({FloatTensor(std::move(name), {size})}, {0, size}, {0, 1}, offset);
  }

  // Side by side: each linear's outputs of this rank follow those of the one before it.
  void AddByOutputs(const std::vector<LinearShape>& linears, const LinearLayout& layout) {
    int first_output = 0;
    for (const LinearShape& linear : linears) {
      const Slice outputs = ShardOf(linear.full_outputs, rank_, tp_size_);
      AddLinears({linear}, outputs, {0, linear.full_inputs}, first_output, layout);
      first_output += static_cast<int>(outputs.size);
    }
  }

  // In turns: the first output of this rank of each linear, then the second of each. REQUIRES: one
  // shape.
  void AddByOutputsInTurns(const std::vector<LinearShape>& linears, const LinearLayout& layout) {
    const LinearShape& shape = linears.front();
    AddLinears(linears, ShardOf(shape.full_outputs, rank_, tp_size_), {0, shape.full_inputs}, 0,
               layout);
  }

  void AddByInputs(const LinearShape& linear, const LinearLayout& layout) {
    AddLinears({linear}, {0, linear.full_outputs}, ShardOf(linear.full_inputs, rank_, tp_size_), 0,
               layout);
  }

  std::vector<LoadPiece> Take() { return std::move(pieces_); }

 private:
  // linears: one, or several that take turns. outputs, inputs: of each.
  void AddLinears(const std::vector<LinearShape>& linears, Slice outputs, Slice inputs,
                  int first_packed_output, const LinearLayout& layout) {
    std::vector<std::vector<ExpectedTensor>> tensors_of;
    for (const LinearShape& linear : linears) {
      tensors_of.push_back(LinearTensors(config_, linear));
    }
    if (!layout.is_awq) {
      std::vector<ExpectedTensor> weights;
      for (const std::vector<ExpectedTensor>& tensors : tensors_of) weights.push_back(tensors[0]);
      AddDense(weights, outputs, inputs,
               layout.offset + first_packed_output * inputs.size * kBf16Bytes);
      return;
    }
    const auto num_linears = static_cast<int64_t>(linears.size());
    const int64_t groups = inputs.size / kGroupSize;
    const int64_t output_bytes = inputs.size / 2 + groups / 2 + groups * kBf16Bytes + 1;
    const int64_t most =
        PieceSize(outputs.size, slot_bytes_ / (num_linears * output_bytes), kTileOutputs);
    for (int64_t done = 0; done < outputs.size; done += most) {
      const Slice part = {outputs.begin + done, std::min(most, outputs.size - done)};
      LoadPiece piece;
      for (const std::vector<ExpectedTensor>& tensors : tensors_of) {
        AddAwqParts(tensors, part, inputs, layout.scale_type, &piece);
      }
      piece.offset = layout.offset;
      piece.packed.outputs = layout.outputs;
      piece.packed.inputs = layout.inputs;
      piece.packed.scale_type = layout.scale_type;
      piece.first_packed_output = first_packed_output + static_cast<int>(num_linears * done);
      piece.num_outputs = static_cast<int>(part.size);
      pieces_.push_back(std::move(piece));
    }
  }

  // tensors: of one AWQ linear.
  static void AddAwqParts(const std::vector<ExpectedTensor>& tensors, Slice outputs, Slice inputs,
                          ScaleType scale_type, LoadPiece* piece) {
    const Slice groups = {inputs.begin / kGroupSize, inputs.size / kGroupSize};
    const Slice words = {outputs.begin / kValuesPerWord, outputs.size / kValuesPerWord};
    const auto add = [&](const ExpectedTensor& tensor, Slice rows, Slice columns, DType staged) {
      const int64_t offset = piece->parts.empty() ? 0 : piece->staged_bytes();
      piece->parts.push_back({.tensor = tensor,
                              .first_row = rows.begin,
                              .num_rows = rows.size,
                              .first_column = columns.begin,
                              .num_columns = columns.size,
                              .staged = staged,
                              .staged_offset = offset});
    };
    static_assert(kAwqTensors == 3);
    add(tensors[0], inputs, words, DType::kI32);
    add(tensors[1], groups, words, DType::kI32);
    add(tensors[2], groups, outputs, scale_type == ScaleType::kF16 ? DType::kF16 : DType::kBF16);
  }

  const Qwen3Config& config_;
  const int rank_;
  const int tp_size_;
  const int64_t slot_bytes_;
  std::vector<LoadPiece> pieces_;
};

}  // namespace

std::vector<LoadPiece> PlanLoad(const Qwen3Config& config, const WeightLayout& layout, int rank,
                                int tp_size, int64_t slot_bytes) {
  Planner planner(config, rank, tp_size, slot_bytes);
  const int64_t hidden = config.hidden_size;
  const std::vector<int64_t> table = {config.vocab_size, hidden};
  const Slice vocabulary = ShardOf(config.vocab_size, rank, tp_size);
  planner.AddDense({FloatTensor(kEmbeddingName, table)}, vocabulary, {0, hidden}, layout.embedding);
  for (int i = 0; i < config.num_layers; ++i) {
    const LayerLayout& layer = layout.layers[static_cast<size_t>(i)];
    const std::string prefix = LayerPrefix(i);
    const std::vector<LinearShape> linears = LayerLinears(config, i);
    planner.AddNorm(absl::StrCat(prefix, "input_layernorm.weight"), hidden, layer.input_norm);
    planner.AddNorm(absl::StrCat(prefix, "post_attention_layernorm.weight"), hidden,
                    layer.post_attention_norm);
    planner.AddNorm(absl::StrCat(prefix, "self_attn.q_norm.weight"), kHeadDim, layer.q_norm);
    planner.AddNorm(absl::StrCat(prefix, "self_attn.k_norm.weight"), kHeadDim, layer.k_norm);
    planner.AddByOutputs({linears[0], linears[1], linears[2]}, layer.qkv);
    planner.AddByInputs(linears[3], layer.o);
    planner.AddByOutputsInTurns({linears[4], linears[5]}, layer.gate_up);
    planner.AddByInputs(linears[6], layer.down);
  }
  planner.AddNorm(kFinalNormName, hidden, layout.final_norm);
  if (!config.tie_word_embeddings) {
    planner.AddDense({FloatTensor(kLmHeadName, table)}, vocabulary, {0, hidden}, layout.lm_head);
  }
  return planner.Take();
}

}  // namespace sluice::worker
