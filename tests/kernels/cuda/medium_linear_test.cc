// SPDX-License-Identifier: Apache-2.0
// The AWQ linear for 8 rows and more against the CPU's, and the sum of its pieces.
//
// Tolerance. Both sides start from the same bf16 activations and the same (q - zero), exact; scales
// are applied in fp32. The order of fp32 sums of K products differs, which 2^-20 of the sum of
// absolute products covers (awq_test.cc). The GPU also moves its sums from each group's scale to
// the next one's: a quotient (2^-22) and a product (2^-24) for each of up to 136 groups, 2^-14.7 at
// worst, of a sum that for random values is 2^-6 of the sum of absolute products or less. That is
// below 2^-20 of the latter again: twice that is asked for.
#include "kernels/awq/medium_linear.h"

#include <algorithm>
#include <cmath>

#include "kernels/awq/linear_path.h"
#include "kernels/awq/sum_pieces.h"
#include "tests/kernels/cuda/awq_checkpoint.h"

namespace sluice::kernels::awq {
namespace {

static_assert(ChooseLinearPath(1) == LinearPath::kSmall);
static_assert(ChooseLinearPath(kSmallPathRows) == LinearPath::kSmall);
static_assert(ChooseLinearPath(kSmallPathRows + 1) == LinearPath::kMedium);
static_assert(ChooseLinearPath(kMaxMediumRows) == LinearPath::kMedium);
static_assert(ChooseLinearPath(kMaxMediumRows + 1) == LinearPath::kDense);

struct Shape {
  int inputs, outputs;
};

// The 14B's linears at tensor parallel 1, 2, 4 and 8, and the bundled model's.
// Else than small: the 14B's linears at tensor parallel 1, 2, 4 and 8, and the bundled model's.
const std::vector<Shape> kShapes =
    kSmallShapes
        ? std::vector<Shape>{{128, 32}, {384, 320}, {640, 544}}
        : std::vector<Shape>{
              {5120, 7168},  {5120, 3584}, {5120, 1792},  {5120, 896},   {5120, 5120}, {2560, 5120},
              {1280, 5120},  {640, 5120},  {5120, 34816}, {5120, 17408}, {5120, 8704}, {5120, 4352},
              {17408, 5120}, {8704, 5120}, {4352, 5120},  {2176, 5120},  {384, 1536},  {512, 384},
              {384, 2048},   {1024, 384},  {128, 32},     {256, 96},     {512, 544}};
const std::vector<int> kRowCounts =
    kSmallShapes ? std::vector<int>{1, 8, 17, 48, 64, 65, 128, 130}
                 : std::vector<int>{1,  8,  9,  15, 16,  17,  31,  32,  33,  47,  48, 49,
                                    63, 64, 65, 96, 127, 128, 129, 192, 193, 255, 256};
// Small: the ring goes round, and tiles are split.
const std::vector<int> kSmCounts = kSmallShapes ? std::vector<int>{1, 5} : std::vector<int>{132};
constexpr int kFewRowCounts[] = {17, 100};
// Several blocks of rows, whole and not. The CPU takes its time for so many.
const std::vector<int> kManyRowCounts =
    kSmallShapes ? std::vector<int>{257, 500}
                 : std::vector<int>{257, 300, 511, 512, 513, 1000, 1024, 1700, 2047, 2048};

class MediumLinearTest : public CudaTest, public ::testing::WithParamInterface<Shape> {
 protected:
  // The rows' outputs, summed up.
  static std::vector<float> Run(const PackedAwq& weight, const __nv_bfloat16* x, int rows,
                                int num_sms) {
    MediumLinear linear;
    linear.weight = weight;
    linear.x = x;
    linear.rows = rows;
    linear.plan = PlanMediumLinear(weight.outputs, weight.inputs, rows, num_sms);
    const auto size = static_cast<size_t>(linear.plan.PartialFloats(rows, weight.outputs));
    constexpr size_t kBeyond = 1024;  // must stay as it is
    DeviceArray<float> partials(size + kBeyond);
    linear.partials = partials.get();
    ExpectOk(RunMediumLinear(linear, nullptr));
    const std::vector<float> pieces = partials.ToHost();
    for (size_t i = size; i < pieces.size(); ++i) EXPECT_TRUE(std::isnan(pieces[i])) << i - size;

    LinearOutput output;
    output.partials = partials.get();
    output.plan = linear.plan;
    output.rows = rows;
    output.outputs = weight.outputs;
    DeviceArray<float> out(size_t{1} * rows * weight.outputs);
    ExpectOk(SumPieces(output, out.get(), nullptr));
    return out.ToHost();
  }

  // tolerance: of one output.
  void ExpectCpus(const Checkpoint& checkpoint, std::span<const int> row_counts, float tolerance) {
    const int inputs = checkpoint.inputs, outputs = checkpoint.outputs;
    const ShardRange all = {0, inputs, 0, outputs};
    const OnDevice device(checkpoint, all);
    const cpu::LinearWeight reference = checkpoint.OnCpu(all, pool_);
    std::mt19937 rng(3);
    const int most_rows = *std::ranges::max_element(row_counts);
    const std::vector<__nv_bfloat16> x = RandomBf16(rng, size_t{1} * most_rows * inputs, 1.0f);
    const std::vector<float> x_floats = ToFloats(x);
    std::vector<float> expected(size_t{1} * most_rows * outputs);
    cpu::Linear(reference, x_floats.data(), inputs, most_rows, expected.data(), outputs, pool_);
    const DeviceArray<__nv_bfloat16> x_device(x);
    for (const int rows : row_counts) {
      for (const int num_sms : kSmCounts) {
        const std::vector<float> actual = Run(device.packed, x_device.get(), rows, num_sms);
        for (size_t i = 0; i < actual.size(); ++i) {
          // NaN fails; not one ASSERT a value, of which there are hundreds of millions.
          if (std::abs(actual[i] - expected[i]) <= tolerance) continue;
          FAIL() << rows << " rows, " << num_sms << " SMs, row " << i / static_cast<size_t>(outputs)
                 << ", output " << i % static_cast<size_t>(outputs) << ": " << actual[i] << ", not "
                 << expected[i];
        }
      }
    }
  }

  cpu::ThreadPool pool_{4};
};

// About 5 of q - zero, 0.007 of scale and 0.8 of x: the sum of absolute products is inputs * 0.03.
float Tolerance(int inputs) { return std::ldexp(0.03f * static_cast<float>(inputs), -19); }

TEST_P(MediumLinearTest, EqualsTheCpu) {
  const auto [inputs, outputs] = GetParam();
  ExpectCpus(Checkpoint(inputs, outputs, 11), kRowCounts, Tolerance(inputs));
}

INSTANTIATE_TEST_SUITE_P(Shapes, MediumLinearTest, ::testing::ValuesIn(kShapes),
                         [](const ::testing::TestParamInfo<Shape>& shape) {
                           return std::to_string(shape.param.inputs) + "x" +
                                  std::to_string(shape.param.outputs);
                         });

TEST_F(MediumLinearTest, EqualsTheCpuForManyRows) {
  const auto [inputs, outputs] = kSmallShapes ? Shape{256, 320} : Shape{2176, 5120};
  ExpectCpus(Checkpoint(inputs, outputs, 17), kManyRowCounts, Tolerance(inputs));
}

TEST_F(MediumLinearTest, EqualsTheCpuWithF16Scales) {
  ExpectCpus(Checkpoint(384, 320, 12, ScaleType::kF16), kFewRowCounts, Tolerance(384));
}

// Neighbouring groups whose scales differ by any factor, change sign, or are zero: sums move from
// one to the next through a quotient.
TEST_F(MediumLinearTest, TakesAnyScale) {
  constexpr float kScales[] = {0.004f, 0.0f, -0.01f, 1e-30f, 3.0f, -1e-6f, 0.0f};
  for (const ScaleType type : {ScaleType::kBf16, ScaleType::kF16}) {
    Checkpoint checkpoint(512, 96, 13, type);
    std::mt19937 rng(17);
    for (uint16_t& scale : checkpoint.scales) {
      scale = checkpoint.Rounded(kScales[rng() % std::size(kScales)]);
    }
    // All of one output's: its products vanish.
    for (int group = 0; group < 4; ++group) checkpoint.scales[size_t{96} * group + 40] = 0;
    // As above, with scales of 3.
    ExpectCpus(checkpoint, kFewRowCounts, std::ldexp(5.0f * 3.0f * 0.8f * 512, -19));
  }
}

TEST_F(MediumLinearTest, SamePlanSameBits) {
  const Checkpoint checkpoint(512, 544, 14);
  const OnDevice device(checkpoint, {0, 512, 0, 544});
  std::mt19937 rng(4);
  const DeviceArray<__nv_bfloat16> x(RandomBf16(rng, size_t{100} * 512, 1.0f));
  EXPECT_EQ(Run(device.packed, x.get(), 100, 7), Run(device.packed, x.get(), 100, 7));
}

// However a block shares its rows out, a row's sums are made in the same order: as long as the plan
// is the same, its bits do not depend on what else is in the batch.
TEST_F(MediumLinearTest, SameBitsInAnyBatchOfOneBlock) {
  const Checkpoint checkpoint(512, 544, 16);
  const OnDevice device(checkpoint, {0, 512, 0, 544});
  std::mt19937 rng(6);
  const DeviceArray<__nv_bfloat16> x(RandomBf16(rng, size_t{128} * 512, 1.0f));
  const std::vector<float> all = Run(device.packed, x.get(), 128, 5);
  for (const int rows : {17, 40, 64, 70}) {
    const std::vector<float> some = Run(device.packed, x.get(), rows, 5);
    for (size_t i = 0; i < some.size(); ++i) {
      ASSERT_EQ(some[i], all[i]) << rows << " rows, at " << i;
    }
  }
}

TEST_F(MediumLinearTest, RefusesWhatItCannotDo) {
  const Checkpoint checkpoint(128, 32, 15);
  const OnDevice device(checkpoint, {0, 128, 0, 32});
  MediumLinear linear;
  linear.weight = device.packed;
  linear.rows = 32;
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());  // no plan
  linear.plan = PlanMediumLinear(64, 256, 32, 132);
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());  // another weight's
  linear.plan = PlanMediumLinear(32, 128, 32, 132);
  linear.rows = kMaxMediumRows + 1;
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());
}

class SumPiecesTest : public CudaTest {};

TEST_F(SumPiecesTest, AddsInOrder) {
  constexpr int kRows = 5, kOutputs = 544;
  std::mt19937 rng(5);
  for (const int tile_outputs : {32, 256}) {
    LinearOutput output;
    output.plan = MakeSplitPlan(kOutputs, 1024, 2, 21, tile_outputs);
    output.rows = kRows;
    output.outputs = kOutputs;
    const auto size = static_cast<size_t>(output.plan.PartialFloats(kRows, kOutputs));
    const std::vector<float> partials = ToFloats(RandomBf16(rng, size, 1.0f));
    const DeviceArray<float> partials_device(partials);
    output.partials = partials_device.get();
    std::vector<float> expected(kRows * kOutputs);
    for (int row = 0; row < kRows; ++row) {
      for (int n = 0; n < kOutputs; ++n) {
        float& sum = expected[static_cast<size_t>(row * kOutputs + n)];
        for (int slice = 0; slice < output.plan.slices; ++slice) {
          for (int piece = 0; piece < output.plan.NumPieces(n / tile_outputs); ++piece) {
            sum += partials[static_cast<size_t>(
                ((slice * output.plan.max_pieces + piece) * kRows + row) * kOutputs + n)];
          }
        }
      }
    }
    DeviceArray<float> out(expected.size());
    ExpectOk(SumPieces(output, out.get(), nullptr));
    EXPECT_EQ(out.ToHost(), expected);
  }
}

TEST_F(SumPiecesTest, TakesFinishedValues) {
  constexpr int kRows = 300, kOutputs = 100;
  std::mt19937 rng(6);
  const std::vector<__nv_bfloat16> values = RandomBf16(rng, size_t{kRows} * kOutputs, 1.0f);
  const std::vector<float> floats = ToFloats(values);
  const DeviceArray<__nv_bfloat16> values_device(values);
  const DeviceArray<float> floats_device(floats);
  LinearOutput output;
  output.rows = kRows;
  output.outputs = kOutputs;
  output.values = values_device.get();
  DeviceArray<float> out(floats.size()), again(floats.size());
  ExpectOk(SumPieces(output, out.get(), nullptr));
  EXPECT_EQ(out.ToHost(), floats);
  output.values = nullptr;
  output.float_values = floats_device.get();
  ExpectOk(SumPieces(output, again.get(), nullptr));
  EXPECT_EQ(again.ToHost(), floats);
}

}  // namespace
}  // namespace sluice::kernels::awq
