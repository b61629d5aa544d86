// SPDX-License-Identifier: Apache-2.0
// Every byte of the arena is written once, and every element of a tensor is read by the rank that
// holds it: counted, for odd shapes and slots that force cuts.
#include "worker/executor/cuda/load_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "worker/model/tensor_names.h"

namespace sluice::worker {
namespace {

using testing::HasSubstr;

Qwen3Config SmallConfig(bool awq, bool tied) {
  Qwen3Config config;
  config.hidden_size = 384;
  config.intermediate_size = 1024;
  config.num_layers = 2;
  config.num_heads = 16;
  config.num_kv_heads = 8;
  config.vocab_size = 520;
  config.rope_theta = 10000;
  config.tie_word_embeddings = tied;
  if (awq) config.quantization = QuantizationConfig{};
  return config;
}

Qwen3Config Config14B() {
  Qwen3Config config;
  config.hidden_size = 5120;
  config.intermediate_size = 17408;
  config.num_layers = 40;
  config.num_heads = 40;
  config.num_kv_heads = 8;
  config.vocab_size = 151936;
  config.quantization = QuantizationConfig{};
  return config;
}

struct Range {
  int64_t begin, end;
  bool operator<(const Range& other) const { return begin < other.begin; }
};

// What a piece writes of the arena: records of neighbouring tiles follow each other.
Range WrittenBy(const LoadPiece& piece) {
  if (!piece.is_awq()) return {piece.offset, piece.offset + piece.staged_bytes()};  // each byte
  const int64_t tile_bytes = int64_t{piece.packed.groups()} * kernels::awq::kTileBytes;
  const int64_t first = piece.first_packed_output / kernels::awq::kTileOutputs;
  const int64_t count = piece.num_linears() * piece.num_outputs / kernels::awq::kTileOutputs;
  return {piece.offset + first * tile_bytes, piece.offset + (first + count) * tile_bytes};
}

struct Case {
  bool awq, tied;
  int tp_size;
  int64_t slot_bytes;
};

class LoadPlanTest : public testing::TestWithParam<Case> {};

TEST_P(LoadPlanTest, EveryByteOfTheArenaIsWrittenOnce) {
  const Case& c = GetParam();
  const Qwen3Config config = SmallConfig(c.awq, c.tied);
  const auto layout = LayOutWeights(config, c.tp_size, nullptr);
  ASSERT_TRUE(layout.ok()) << layout.status();
  for (int rank = 0; rank < c.tp_size; ++rank) {
    std::vector<Range> ranges = {{layout->inv_freq, layout->inv_freq + kHeadDim / 2 * 4}};
    for (const LoadPiece& piece : PlanLoad(config, *layout, rank, c.tp_size, c.slot_bytes)) {
      ranges.push_back(WrittenBy(piece));
    }
    std::sort(ranges.begin(), ranges.end());
    int64_t written = 0;
    for (const Range& range : ranges) {
      EXPECT_GE(range.begin, written);
      EXPECT_LT(range.begin - written, kWeightAlignment) << "a hole at " << written;
      written = range.end;
    }
    EXPECT_LE(written, layout->bytes);
    EXPECT_LT(layout->bytes - written, kWeightAlignment);
  }
}

TEST_P(LoadPlanTest, EveryElementIsReadByWhoHoldsIt) {
  const Case& c = GetParam();
  const Qwen3Config config = SmallConfig(c.awq, c.tied);
  const auto layout = LayOutWeights(config, c.tp_size, nullptr);
  ASSERT_TRUE(layout.ok());
  std::map<std::string, std::vector<int>> reads;
  for (int rank = 0; rank < c.tp_size; ++rank) {
    for (const LoadPiece& piece : PlanLoad(config, *layout, rank, c.tp_size, c.slot_bytes)) {
      for (const TensorPart& part : piece.parts) {
        const auto& shape = part.tensor.shape;
        std::vector<int>& counts = reads[part.tensor.name];
        counts.resize(static_cast<size_t>(shape[0] * part.full_columns()));
        for (int64_t row = 0; row < part.num_rows; ++row) {
          for (int64_t column = 0; column < part.num_columns; ++column) {
            ++counts.at(static_cast<size_t>((part.first_row + row) * part.full_columns() +
                                            part.first_column + column));
          }
        }
      }
    }
  }
  for (const ExpectedTensor& tensor : AllTensors(config)) {
    if (tensor.optional) {
      EXPECT_FALSE(reads.contains(tensor.name));
      continue;
    }
    const bool replicated = tensor.shape.size() == 1;
    ASSERT_TRUE(reads.contains(tensor.name)) << tensor.name;
    for (const int count : reads[tensor.name]) {
      ASSERT_EQ(count, replicated ? c.tp_size : 1) << tensor.name;
    }
    reads.erase(tensor.name);
  }
  EXPECT_TRUE(reads.empty());
}

TEST_P(LoadPlanTest, PiecesFitTheSlotAndAreAligned) {
  const Case& c = GetParam();
  const Qwen3Config config = SmallConfig(c.awq, c.tied);
  const auto layout = LayOutWeights(config, c.tp_size, nullptr);
  ASSERT_TRUE(layout.ok());
  for (const LoadPiece& piece : PlanLoad(config, *layout, c.tp_size - 1, c.tp_size, c.slot_bytes)) {
    const bool smallest = piece.is_awq() ? piece.num_outputs == kernels::awq::kTileOutputs
                                         : piece.parts[0].num_rows == 1;
    EXPECT_TRUE(piece.staged_bytes() <= c.slot_bytes || smallest);
    // Every staged byte is some part's, once.
    std::vector<int> writes(static_cast<size_t>(piece.staged_bytes()));
    for (const TensorPart& part : piece.parts) {
      EXPECT_EQ(part.staged_offset % 16, 0);
      for (int64_t row = 0; row < part.num_rows; ++row) {
        const int64_t begin = part.staged_offset + row * part.row_stride * part.row_bytes();
        for (int64_t i = 0; i < part.row_bytes(); ++i) ++writes.at(static_cast<size_t>(begin + i));
      }
    }
    EXPECT_EQ(std::count(writes.begin(), writes.end(), 1), piece.staged_bytes());
  }
}

// The tensor, and the row of it, whose values become an output of the rank's gate_up: of a piece,
// whichever writes it.
std::pair<std::string, int64_t> SourceOf(const std::vector<LoadPiece>& pieces,
                                         const LinearLayout& layout, int output) {
  for (const LoadPiece& piece : pieces) {
    const int linears = piece.num_linears();
    const int64_t row_bytes = int64_t{layout.inputs} * 2;
    const int64_t first =
        piece.is_awq() ? piece.first_packed_output : (piece.offset - layout.offset) / row_bytes;
    const int64_t count = linears * (piece.is_awq() ? piece.num_outputs : piece.parts[0].num_rows);
    const bool here = piece.is_awq() ? piece.offset == layout.offset
                                     : piece.offset >= layout.offset &&
                                           piece.offset < layout.offset + layout.bytes();
    if (!here || output < first || output >= first + count) continue;
    const int64_t place = output - first;  // outputs of the piece's linears take turns
    const TensorPart& part =
        piece.parts[static_cast<size_t>(place % linears) * (piece.is_awq() ? kAwqTensors : 1)];
    const int64_t first_of_part = piece.is_awq() ? part.first_column * 8 : part.first_row;
    return {part.tensor.name, first_of_part + place / linears};
  }
  return {};
}

TEST_P(LoadPlanTest, GateAndUpTakeTurns) {
  const Case& c = GetParam();
  const Qwen3Config config = SmallConfig(c.awq, c.tied);
  const auto layout = LayOutWeights(config, c.tp_size, nullptr);
  ASSERT_TRUE(layout.ok());
  const std::string suffix = c.awq ? ".qweight" : ".weight";
  const int width = config.intermediate_size / c.tp_size;
  for (const int rank : {0, c.tp_size - 1}) {
    const auto pieces = PlanLoad(config, *layout, rank, c.tp_size, c.slot_bytes);
    for (int layer = 0; layer < config.num_layers; ++layer) {
      const std::string mlp = LayerPrefix(layer) + "mlp.";
      for (int output = 0; output < 2 * width; ++output) {
        const auto [name, row] =
            SourceOf(pieces, layout->layers[static_cast<size_t>(layer)].gate_up, output);
        ASSERT_EQ(name, mlp + (output % 2 == 0 ? "gate_proj" : "up_proj") + suffix) << output;
        ASSERT_EQ(row, rank * width + output / 2);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LoadPlanTest,
                         testing::Values(Case{true, true, 1, 32 << 20},
                                         Case{true, false, 1, 20'000},
                                         Case{true, false, 2, 32 << 20}, Case{true, true, 4, 9'000},
                                         Case{true, false, 4, 1}, Case{true, true, 8, 32 << 20},
                                         Case{true, false, 8, 20'000},
                                         Case{false, false, 1, 32 << 20},
                                         Case{false, true, 2, 10'000}, Case{false, false, 4, 1},
                                         Case{false, true, 8, 10'000}));

TEST(WeightLayoutTest, TheArenaOfThe14B) {
  const Qwen3Config config = Config14B();
  // A layer: 5120 x (5120 + 2 x 1024) + 5120 x 5120 + 3 x 5120 x 17408 4-bit values, in records of
  // 32 x 128 values and 2176 bytes.
  const int64_t values = int64_t{5120} * (5120 + 2048 + 5120 + 3 * 17408);
  const int64_t norms = (2 * 5120 + 2 * 128) * 2;
  for (const int tp_size : {1, 2, 4, 8}) {
    const auto layout = LayOutWeights(config, tp_size, nullptr);
    ASSERT_TRUE(layout.ok());
    const int64_t tables = int64_t{2} * 151936 / tp_size * 5120 * 2;
    EXPECT_EQ(layout->bytes,
              tables + 40 * (values / tp_size / 4096 * 2176 + norms) + 5120 * 2 + 256);
    EXPECT_EQ(layout->max_awq_elements(), int64_t{5120} * 2 * 17408 / tp_size);
  }
}

TEST(WeightLayoutTest, AwqBesideDenseIsRefused) {
  Qwen3Config config = SmallConfig(true, true);
  config.quantization->modules_to_not_convert = {"layers.1.self_attn.v_proj"};
  const auto layout = LayOutWeights(config, 1, nullptr);
  ASSERT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(layout.status().message()),
              HasSubstr("model.layers.1.self_attn.q_proj and model.layers.1.self_attn.v_proj"));
  // A whole layer, or o and down by themselves, may stay dense.
  config.quantization->modules_to_not_convert = {"layers.1.", "o_proj", "down_proj"};
  const auto dense = LayOutWeights(config, 1, nullptr);
  ASSERT_TRUE(dense.ok()) << dense.status();
  EXPECT_TRUE(dense->layers[0].qkv.is_awq);
  EXPECT_FALSE(dense->layers[0].o.is_awq);
  EXPECT_FALSE(dense->layers[1].qkv.is_awq);
}

}  // namespace
}  // namespace sluice::worker
