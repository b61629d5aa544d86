// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/load_plan.h"

#include <algorithm>
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

  // A tensor of floats as bf16, rows side by side, from `offset` on.
  void AddDense(const ExpectedTensor& tensor, Slice rows, Slice columns, int64_t offset) {
    const int64_t row_bytes = columns.size * kBf16Bytes;
    const int64_t most = PieceSize(rows.size, slot_bytes_ / row_bytes, 1);
    for (int64_t done = 0; done < rows.size; done += most) {
      LoadPiece piece;
      piece.parts.push_back({.tensor = tensor,
                             .first_row = rows.begin + done,
                             .num_rows = std::min(most, rows.size - done),
                             .first_column = columns.begin,
                             .num_columns = columns.size});
      piece.offset = offset + done * row_bytes;
      pieces_.push_back(std::move(piece));
    }
  }

  void AddNorm(std::string name, int64_t size, int64_t offset) {
    AddDense(FloatTensor(std::move(name), {size}), {0, size}, {0, 1}, offset);
  }

  // Side by side: each linear's outputs of this rank follow those of the one before it.
  void AddByOutputs(const std::vector<LinearShape>& linears, const LinearLayout& layout) {
    int first_output = 0;
    for (const LinearShape& linear : linears) {
      const Slice outputs = ShardOf(linear.full_outputs, rank_, tp_size_);
      AddLinear(linear, outputs, {0, linear.full_inputs}, first_output, layout);
      first_output += static_cast<int>(outputs.size);
    }
  }

  void AddByInputs(const LinearShape& linear, const LinearLayout& layout) {
    AddLinear(linear, {0, linear.full_outputs}, ShardOf(linear.full_inputs, rank_, tp_size_), 0,
              layout);
  }

  std::vector<LoadPiece> Take() { return std::move(pieces_); }

 private:
  void AddLinear(const LinearShape& linear, Slice outputs, Slice inputs, int first_packed_output,
                 const LinearLayout& layout) {
    const std::vector<ExpectedTensor> tensors = LinearTensors(config_, linear);
    if (!layout.is_awq) {
      AddDense(tensors[0], outputs, inputs,
               layout.offset + first_packed_output * inputs.size * kBf16Bytes);
      return;
    }
    const int64_t groups = inputs.size / kGroupSize;
    const int64_t output_bytes = inputs.size / 2 + groups / 2 + groups * kBf16Bytes + 1;
    const int64_t most = PieceSize(outputs.size, slot_bytes_ / output_bytes, kTileOutputs);
    for (int64_t done = 0; done < outputs.size; done += most) {
      const int64_t count = std::min(most, outputs.size - done);
      LoadPiece piece;
      const int64_t word = (outputs.begin + done) / kValuesPerWord;
      piece.parts.push_back({.tensor = tensors[0],
                             .first_row = inputs.begin,
                             .num_rows = inputs.size,
                             .first_column = word,
                             .num_columns = count / kValuesPerWord,
                             .staged = DType::kI32});
      piece.parts.push_back({.tensor = tensors[1],
                             .first_row = inputs.begin / kGroupSize,
                             .num_rows = groups,
                             .first_column = word,
                             .num_columns = count / kValuesPerWord,
                             .staged = DType::kI32,
                             .staged_offset = piece.staged_bytes()});
      piece.parts.push_back(
          {.tensor = tensors[2],
           .first_row = inputs.begin / kGroupSize,
           .num_rows = groups,
           .first_column = outputs.begin + done,
           .num_columns = count,
           .staged = layout.scale_type == ScaleType::kF16 ? DType::kF16 : DType::kBF16,
           .staged_offset = piece.staged_bytes()});
      piece.offset = layout.offset;
      piece.packed.outputs = layout.outputs;
      piece.packed.inputs = layout.inputs;
      piece.packed.scale_type = layout.scale_type;
      piece.first_packed_output = first_packed_output + static_cast<int>(done);
      piece.num_outputs = static_cast<int>(count);
      pieces_.push_back(std::move(piece));
    }
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
  planner.AddDense(FloatTensor(kEmbeddingName, table), vocabulary, {0, hidden}, layout.embedding);
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
    planner.AddByOutputs({linears[4], linears[5]}, layer.gate_up);
    planner.AddByInputs(linears[6], layer.down);
  }
  planner.AddNorm(kFinalNormName, hidden, layout.final_norm);
  if (!config.tie_word_embeddings) {
    planner.AddDense(FloatTensor(kLmHeadName, table), vocabulary, {0, hidden}, layout.lm_head);
  }
  return planner.Take();
}

}  // namespace sluice::worker
