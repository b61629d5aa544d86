// SPDX-License-Identifier: Apache-2.0
// Linear against its oracle, bit for bit: every format, instruction set, batch size and thread
// count, odd shapes, shards. And the oracle against double precision, so that both cannot be wrong
// together.
#include "kernels/cpu/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/cpu/linear_pack.h"
#include "kernels/cpu/reference/linear_reference.h"
#include "tests/kernels/cpu/isa_fixture.h"

namespace sluice::kernels::cpu {
namespace {

using Format = LinearWeight::Format;

uint16_t TruncateToBf16(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}

// A value that F16 holds exactly, and its bits: sign, exponent 2^-8 ... 2^1, ten bits of mantissa.
uint16_t RandomF16(std::mt19937& rng) {
  return static_cast<uint16_t>((rng() & 0x8000u) | ((7 + rng() % 10) << 10) | (rng() & 0x3FFu));
}

// A random dense checkpoint tensor [outputs][inputs] as bytes (unaligned by one, as mapped files
// may be), with the values it stands for.
struct DenseTensor {
  std::vector<std::byte> bytes;
  std::vector<float> values;
  const void* data() const { return bytes.data() + 1; }
};

DenseTensor MakeDense(std::mt19937& rng, FloatType type, int64_t count) {
  DenseTensor out;
  out.bytes.resize(1 + count * FloatTypeBytes(type));
  std::normal_distribution<float> normal(0.0f, 0.05f);
  for (int64_t i = 0; i < count; ++i) {
    std::byte* at = out.bytes.data() + 1 + i * FloatTypeBytes(type);
    if (type == FloatType::kF32) {
      const float value = normal(rng);
      std::memcpy(at, &value, 4);
      out.values.push_back(value);
    } else {
      const uint16_t bits = type == FloatType::kBf16 ? TruncateToBf16(normal(rng)) : RandomF16(rng);
      std::memcpy(at, &bits, 2);
      out.values.push_back(type == FloatType::kBf16 ? Bf16ToFloat(bits) : F16ToFloat(bits));
    }
  }
  return out;
}

Format FormatOf(FloatType type) {
  switch (type) {
    case FloatType::kF32:
      return Format::kF32;
    case FloatType::kF16:
      return Format::kF16;
    case FloatType::kBf16:
      return Format::kBf16;
  }
  return Format::kF32;
}

// A random AutoAWQ linear: the three tensors, and what they mean. Packed here the other way round
// from linear_pack.cc, as AutoAWQ's packer states it: field i of a word takes column order[i].
struct AwqTensors {
  int64_t inputs, outputs;
  int group;
  std::vector<uint32_t> qweight, qzeros;
  std::vector<uint16_t> scales;  // bf16
  std::vector<int> q, z;         // [inputs][outputs], [inputs / group][outputs]

  AwqSource Source() const {
    AwqSource source;
    source.qweight = qweight.data();
    source.qzeros = qzeros.data();
    source.scales = scales.data();
    source.scales_type = FloatType::kBf16;
    source.full_outputs = outputs;
    return source;
  }
};

std::vector<uint32_t> PackWords(const std::vector<int>& nibbles) {
  constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  std::vector<uint32_t> words(nibbles.size() / 8);
  for (size_t w = 0; w < words.size(); ++w) {
    for (int i = 0; i < 8; ++i)
      words[w] |= static_cast<uint32_t>(nibbles[w * 8 + kOrder[i]]) << (4 * i);
  }
  return words;
}

AwqTensors MakeAwq(std::mt19937& rng, int64_t inputs, int64_t outputs, int group) {
  AwqTensors out{inputs, outputs, group, {}, {}, {}, {}, {}};
  for (int64_t i = 0; i < inputs * outputs; ++i) out.q.push_back(rng() % 16);
  for (int64_t i = 0; i < inputs / group * outputs; ++i) {
    out.z.push_back(rng() % 16);
    out.scales.push_back(
        TruncateToBf16(0.002f + 0.02f * static_cast<float>(rng() % 1000) / 1000.0f));
  }
  out.qweight = PackWords(out.q);
  out.qzeros = PackWords(out.z);
  return out;
}

// The plain weight of inputs [in_begin, in_begin + inputs) and outputs [out_begin, + outputs).
reference::PlainWeight Plain(const AwqTensors& t, int64_t in_begin, int64_t inputs,
                             int64_t out_begin, int64_t outputs, int num_slices) {
  reference::PlainWeight plain{outputs, inputs, num_slices, t.group, {}, {}};
  for (int64_t n = out_begin; n < out_begin + outputs; ++n) {
    for (int64_t k = in_begin; k < in_begin + inputs; ++k) {
      const int zero = t.z[k / t.group * t.outputs + n];
      plain.values.push_back(static_cast<float>(t.q[k * t.outputs + n] - zero));
    }
    for (int64_t g = in_begin / t.group; g < (in_begin + inputs) / t.group; ++g) {
      plain.scales.push_back(Bf16ToFloat(t.scales[g * t.outputs + n]));
    }
  }
  return plain;
}

std::vector<float> Multiply(const LinearWeight& weight, const std::vector<float>& x, int64_t rows,
                            int threads = 1) {
  ThreadPool pool(threads);
  std::vector<float> y(rows * weight.spec().outputs, -1.0f);
  Linear(weight, x.data(), weight.spec().inputs, rows, y.data(), weight.spec().outputs, pool);
  return y;
}

TEST(NumSlicesTest, IsTheLargestPowerOfTwoThatDividesTheGroups) {
  EXPECT_EQ(NumSlices(5120), 8);
  EXPECT_EQ(NumSlices(17408), 8);  // 136 groups
  EXPECT_EQ(NumSlices(128 * 12), 4);
  EXPECT_EQ(NumSlices(128 * 6), 2);
  EXPECT_EQ(NumSlices(128 * 5), 1);
  EXPECT_EQ(NumSlices(128), 1);
  EXPECT_EQ(NumSlices(96), 1);
  EXPECT_EQ(NumSlices(1024 + 64), 1);
}

class LinearTest : public IsaTest {};
INSTANTIATE_TEST_SUITE_P(Isas, LinearTest, AllIsas(), IsaTestName);

struct DenseShape {
  int64_t outputs, inputs;
};

TEST_P(LinearTest, DenseEqualsOracle) {
  std::mt19937 rng(1);
  ThreadPool pool(1);
  for (const DenseShape shape :
       {DenseShape{1, 1}, {31, 7}, {32, 64}, {33, 129}, {70, 1024}, {40, 200}, {96, 640}}) {
    for (FloatType type : {FloatType::kF32, FloatType::kF16, FloatType::kBf16}) {
      const DenseTensor tensor = MakeDense(rng, type, shape.outputs * shape.inputs);
      LinearWeight weight({FormatOf(type), shape.outputs, shape.inputs, shape.inputs});
      PackDense({tensor.data(), type, shape.inputs}, 0, shape.outputs, pool, &weight);
      const reference::PlainWeight plain{shape.outputs, shape.inputs,  NumSlices(shape.inputs),
                                         128,           tensor.values, {}};
      for (int64_t rows : {1, 2, 5, 6, 13}) {
        const std::vector<float> x = RandomNormal(rng, rows * shape.inputs);
        EXPECT_TRUE(SameBits(Multiply(weight, x, rows), reference::Linear(plain, x, rows)))
            << shape.outputs << "x" << shape.inputs << " type " << static_cast<int>(type)
            << " rows " << rows;
      }
    }
  }
}

TEST_P(LinearTest, AwqEqualsOracle) {
  std::mt19937 rng(2);
  ThreadPool pool(1);
  struct Shape {
    int64_t outputs, inputs;
    int group;
  };
  for (const Shape shape :
       {Shape{8, 128, 128}, {40, 256, 128}, {64, 1024, 128}, {72, 384, 64}, {32, 96, 32}}) {
    const AwqTensors tensors = MakeAwq(rng, shape.inputs, shape.outputs, shape.group);
    LinearWeight weight({Format::kAwq4, shape.outputs, shape.inputs, shape.inputs, shape.group});
    PackAwq(tensors.Source(), 0, shape.outputs, pool, &weight);
    const reference::PlainWeight plain =
        Plain(tensors, 0, shape.inputs, 0, shape.outputs, NumSlices(shape.inputs));
    for (int64_t rows : {1, 2, 3, 4, 7, 12, 97}) {
      const std::vector<float> x = RandomNormal(rng, rows * shape.inputs);
      EXPECT_TRUE(SameBits(Multiply(weight, x, rows), reference::Linear(plain, x, rows)))
          << shape.outputs << "x" << shape.inputs << " rows " << rows;
    }
  }
}

TEST_P(LinearTest, ThreadsAndBatchDoNotChangeABit) {
  std::mt19937 rng(3);
  ThreadPool pool(1);
  const AwqTensors tensors = MakeAwq(rng, 1024, 200, 128);
  LinearWeight weight({Format::kAwq4, 200, 1024, 1024});
  PackAwq(tensors.Source(), 0, 200, pool, &weight);
  const int64_t rows = 200;
  const std::vector<float> x = RandomNormal(rng, rows * 1024);
  const std::vector<float> expected = Multiply(weight, x, rows);
  for (int threads : {2, 3, 7}) EXPECT_TRUE(SameBits(Multiply(weight, x, rows, threads), expected));
  for (int64_t row : {0, 1, 95, 96, 199}) {
    const std::vector<float> alone(x.begin() + row * 1024, x.begin() + (row + 1) * 1024);
    EXPECT_TRUE(SameBits(Multiply(weight, alone, 1, 2),
                         {expected.begin() + row * 200, expected.begin() + (row + 1) * 200}));
  }
}

// Row-parallel shards of 2, 4 and 8 ranks, summed by the all-reduce's tree, equal the whole.
TEST_P(LinearTest, RowShardsContinueTheTree) {
  std::mt19937 rng(4);
  ThreadPool pool(1);
  const int64_t inputs = 2048, outputs = 48;
  const AwqTensors awq = MakeAwq(rng, inputs, outputs, 128);
  const DenseTensor dense = MakeDense(rng, FloatType::kBf16, inputs * outputs);
  for (bool quantized : {true, false}) {
    const Format format = quantized ? Format::kAwq4 : Format::kBf16;
    auto shard = [&](int rank, int world) {
      LinearWeight weight({format, outputs, inputs / world, inputs});
      EXPECT_EQ(weight.num_slices(), 8 / world);
      if (quantized) {
        AwqSource source = awq.Source();
        source.in_begin = rank * inputs / world;
        PackAwq(source, 0, outputs, pool, &weight);
      } else {
        PackDense({dense.data(), FloatType::kBf16, inputs, 0, rank * inputs / world}, 0, outputs,
                  pool, &weight);
      }
      return weight;
    };
    for (int64_t rows : {1, 5}) {
      const std::vector<float> x = RandomNormal(rng, rows * inputs);
      const std::vector<float> whole = Multiply(shard(0, 1), x, rows);
      for (int world : {2, 4, 8}) {
        std::vector<std::vector<float>> partial;
        for (int rank = 0; rank < world; ++rank) {
          std::vector<float> y(rows * outputs);
          const LinearWeight weight = shard(rank, world);
          Linear(weight, x.data() + rank * inputs / world, inputs, rows, y.data(), outputs, pool);
          partial.push_back(y);
        }
        for (int step = 1; step < world; step *= 2) {
          for (int rank = 0; rank < world; rank += 2 * step) {
            for (size_t i = 0; i < partial[rank].size(); ++i)
              partial[rank][i] += partial[rank + step][i];
          }
        }
        EXPECT_TRUE(SameBits(partial[0], whole)) << "world " << world << " rows " << rows;
      }
    }
  }
}

// Column shards taken from the middle of a tensor, and fused side by side in one weight.
TEST_P(LinearTest, ColumnShardsFuse) {
  std::mt19937 rng(5);
  ThreadPool pool(2);
  const AwqTensors a = MakeAwq(rng, 256, 128, 128);
  const AwqTensors b = MakeAwq(rng, 256, 64, 128);
  LinearWeight weight({Format::kAwq4, 40 + 24, 256, 256});
  AwqSource source = a.Source();
  source.out_begin = 72;
  PackAwq(source, 0, 40, pool, &weight);
  source = b.Source();
  source.out_begin = 8;
  PackAwq(source, 40, 24, pool, &weight);
  const std::vector<float> x = RandomNormal(rng, 256);
  std::vector<float> expected = reference::Linear(Plain(a, 0, 256, 72, 40, 2), x, 1);
  const std::vector<float> second = reference::Linear(Plain(b, 0, 256, 8, 24, 2), x, 1);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_TRUE(SameBits(Multiply(weight, x, 1), expected));

  const DenseTensor dense = MakeDense(rng, FloatType::kBf16, 64 * 48);
  LinearWeight mixed({Format::kF32, 20, 48, 48});
  PackDense({dense.data(), FloatType::kBf16, 48, 9}, 0, 20, pool, &mixed);
  const std::vector<float> rows(dense.values.begin() + 9 * 48, dense.values.begin() + 29 * 48);
  const std::vector<float> x2 = RandomNormal(rng, 48);
  EXPECT_TRUE(
      SameBits(Multiply(mixed, x2, 1), reference::Linear({20, 48, 1, 128, rows, {}}, x2, 1)));
}

TEST_P(LinearTest, StridesAreKept) {
  std::mt19937 rng(6);
  ThreadPool pool(1);
  const DenseTensor tensor = MakeDense(rng, FloatType::kF32, 10 * 16);
  LinearWeight weight({Format::kF32, 10, 16, 16});
  PackDense({tensor.data(), FloatType::kF32, 16}, 0, 10, pool, &weight);
  const std::vector<float> x = RandomNormal(rng, 3 * 20);
  std::vector<float> y(3 * 13, 7.0f);
  Linear(weight, x.data(), 20, 3, y.data(), 13, pool);
  for (int64_t row = 0; row < 3; ++row) {
    const std::vector<float> alone(x.begin() + row * 20, x.begin() + row * 20 + 16);
    const std::vector<float> got(y.begin() + row * 13, y.begin() + row * 13 + 10);
    EXPECT_TRUE(SameBits(got, Multiply(weight, alone, 1)));
    for (int i = 10; i < 13; ++i) EXPECT_EQ(y[row * 13 + i], 7.0f);
  }
}

// Extreme values: the nibble trick must not round, whatever x is.
TEST_P(LinearTest, TinyAndHugeInputsEqualOracle) {
  std::mt19937 rng(7);
  ThreadPool pool(1);
  const AwqTensors tensors = MakeAwq(rng, 128, 32, 128);
  LinearWeight weight({Format::kAwq4, 32, 128, 128});
  PackAwq(tensors.Source(), 0, 32, pool, &weight);
  const reference::PlainWeight plain = Plain(tensors, 0, 128, 0, 32, 1);
  for (float size : {1e-44f, 1e-38f, 1e-30f, 1e30f, 3e37f}) {
    for (int64_t rows : {1, 2}) {
      std::vector<float> x = RandomNormal(rng, rows * 128);
      for (float& value : x) value *= size;
      const std::vector<float> got = Multiply(weight, x, rows);
      const std::vector<float> expected = reference::Linear(plain, x, rows);
      for (size_t i = 0; i < got.size(); ++i) {
        if (std::isnan(expected[i])) {
          EXPECT_TRUE(std::isnan(got[i]));
        } else {
          EXPECT_EQ(got[i], expected[i]) << "size " << size;
        }
      }
    }
  }
}

// The chosen order is accurate: at the 14B's longest K the error against double stays below 2e-6 of
// the sum of magnitudes (a naive float sum over 17,408 terms is an order of magnitude worse).
TEST(LinearAccuracyTest, OracleIsCloseToDouble) {
  std::mt19937 rng(8);
  const int64_t inputs = 17408;
  const AwqTensors tensors = MakeAwq(rng, inputs, 8, 128);
  const reference::PlainWeight plain = Plain(tensors, 0, inputs, 0, 8, NumSlices(inputs));
  const std::vector<float> x = RandomNormal(rng, inputs);
  for (int64_t n = 0; n < 8; ++n) {
    double exact = 0.0, magnitude = 0.0;
    for (int64_t k = 0; k < inputs; ++k) {
      const double term = static_cast<double>(x[k]) * plain.values[n * inputs + k] *
                          plain.scales[n * (inputs / 128) + k / 128];
      exact += term;
      magnitude += std::abs(term);
    }
    EXPECT_NEAR(reference::LinearOutput(plain, n, x.data()), exact, 2e-7 * magnitude);
  }
}

}  // namespace
}  // namespace sluice::kernels::cpu
