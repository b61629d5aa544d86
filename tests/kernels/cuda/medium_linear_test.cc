// SPDX-License-Identifier: Apache-2.0
// The AWQ linear for 8 rows and more against the CPU's, gated and not, and the sum of its pieces.
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
#include "kernels/mlp/silu_mul.h"
#include "tests/kernels/cuda/awq_checkpoint.h"
#include "tests/kernels/cuda/gated_on_cpu.h"

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

// Nothing beyond what a kernel has to fill was written.
void ExpectUntouchedFrom(size_t size, const std::vector<float>& values) {
  for (size_t i = size; i < values.size(); ++i) EXPECT_TRUE(std::isnan(values[i])) << i - size;
}
constexpr size_t kBeyond = 1024;  // so many are looked at

// What the linear leaves for whoever reads it next.
struct Pieces {
  DeviceArray<float> partials;
  LinearOutput output;

  Pieces(const PackedAwq& weight, const __nv_bfloat16* x, int rows, const SplitPlan& plan)
      : partials(SizeOf(weight, rows, plan) + kBeyond) {
    ExpectOk(RunMediumLinear(
        {.weight = weight, .x = x, .rows = rows, .plan = plan, .partials = partials.get()},
        nullptr));
    ExpectUntouchedFrom(SizeOf(weight, rows, plan), partials.ToHost());
    output.partials = partials.get();
    output.plan = plan;
    output.rows = rows;
    output.outputs = weight.outputs;
  }

 private:
  static size_t SizeOf(const PackedAwq& weight, int rows, const SplitPlan& plan) {
    return static_cast<size_t>(plan.PartialFloats(rows, weight.outputs));
  }
};

class MediumLinearTest : public CudaTest, public ::testing::WithParamInterface<Shape> {
 protected:
  // The rows' outputs, summed up.
  static std::vector<float> Run(const PackedAwq& weight, const __nv_bfloat16* x, int rows,
                                int num_sms) {
    const Pieces pieces(weight, x, rows,
                        PlanMediumLinear(weight.outputs, weight.inputs, rows, num_sms));
    DeviceArray<float> out(size_t{1} * rows * weight.outputs);
    ExpectOk(SumPieces(pieces.output, out.get(), nullptr));
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
  DeviceArray<float> partials(32 * 32);
  linear.partials = partials.get();
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());  // no plan
  linear.plan = PlanMediumLinear(64, 256, 32, 132);
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());  // another weight's
  linear.plan = PlanMediumLinear(32, 128, 32, 132);
  linear.rows = kMaxMediumRows + 1;
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());
  linear.rows = 32;
  linear.partials = nullptr;
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());  // nowhere to write
}

// Every number of rows that a block may have, and several blocks of rows.
std::vector<int> GatedRowCounts() {
  std::vector<int> counts;
  for (int rows = 1; rows <= 17; ++rows) counts.push_back(rows);
  for (const int rows : {24, 25, 32, 48, 64, 96, 128, 256}) {
    for (const int near : {rows - 1, rows, rows + 1}) counts.push_back(near);
  }
  counts.insert(counts.end(), {1000, 2048});
  return counts;
}

class GatedLinearTest : public CudaTest {
 protected:
  // A plan of whole tiles for this many multiprocessors.
  static SplitPlan PlanOf(const PackedAwq& weight, int rows, int num_sms) {
    return WithWholeTiles(PlanMediumLinear(weight.outputs, weight.inputs, rows, num_sms));
  }

  static std::vector<float> Run(const PackedAwq& weight, const __nv_bfloat16* x, int rows,
                                int num_sms) {
    const size_t size = size_t{1} * rows * weight.outputs / 2;
    const DeviceArray<__nv_bfloat16> gated(size + kBeyond);
    ExpectOk(RunMediumLinear({.weight = weight,
                              .x = x,
                              .rows = rows,
                              .plan = PlanOf(weight, rows, num_sms),
                              .gated = gated.get()},
                             nullptr));
    std::vector<float> values = ToFloats(gated.ToHost());
    ExpectUntouchedFrom(size, values);
    values.resize(size);
    return values;
  }

  // The same by pieces and SiluMul.
  static std::vector<float> RunByPieces(const PackedAwq& weight, const __nv_bfloat16* x, int rows,
                                        int num_sms) {
    const Pieces pieces(weight, x, rows, PlanOf(weight, rows, num_sms));
    const DeviceArray<__nv_bfloat16> gated(size_t{1} * rows * weight.outputs / 2);
    ExpectOk(mlp::SiluMul(pieces.output, weight.outputs / 2, gated.get(), nullptr));
    return ToFloats(gated.ToHost());
  }

  cpu::ThreadPool pool_{4};
};

// The CPU's product and gate. The tolerance of a sum (above) counts about twice, for the slope of
// SiLU is at most 1.1 and values of gate and up are a few units; then one rounding to bf16.
TEST_F(GatedLinearTest, EqualsTheCpu) {
  const std::vector<Shape> shapes =
      kSmallShapes ? std::vector<Shape>{{256, 320}} : std::vector<Shape>{{5120, 4352}, {384, 2048}};
  for (const auto [inputs, outputs] : shapes) {
    const Checkpoint checkpoint(inputs, outputs, 21);
    const ShardRange all = {0, inputs, 0, outputs};
    const OnDevice device(checkpoint, all);
    const cpu::LinearWeight reference = checkpoint.OnCpu(all, pool_);
    std::mt19937 rng(8);
    const std::vector<int> row_counts = GatedRowCounts();
    const int most_rows = *std::ranges::max_element(row_counts);
    const int width = outputs / 2;
    const std::vector<__nv_bfloat16> x = RandomBf16(rng, size_t{1} * most_rows * inputs, 1.0f);
    std::vector<float> sums(size_t{1} * most_rows * outputs);
    cpu::Linear(reference, ToFloats(x).data(), inputs, most_rows, sums.data(), outputs, pool_);
    const std::vector<float> expected = GatedOnCpu(sums, most_rows, width, pool_);
    const DeviceArray<__nv_bfloat16> x_device(x);
    for (const int rows : row_counts) {
      for (const int num_sms : kSmCounts) {
        const std::vector<float> actual = Run(device.packed, x_device.get(), rows, num_sms);
        for (size_t i = 0; i < actual.size(); ++i) {
          const float values = 2.0f + std::abs(sums[2 * i]) + std::abs(sums[2 * i + 1]);
          const float tolerance =
              1.1f * values * Tolerance(inputs) + std::ldexp(std::abs(expected[i]), -8);
          if (std::abs(actual[i] - expected[i]) <= tolerance) continue;
          FAIL() << inputs << "x" << outputs << ", " << rows << " rows, " << num_sms << " SMs, row "
                 << i / static_cast<size_t>(width) << ", column " << i % static_cast<size_t>(width)
                 << ": " << actual[i] << ", not " << expected[i];
        }
      }
    }
  }
}

TEST_F(GatedLinearTest, HasTheBitsOfPiecesAndSiluMul) {
  for (const ScaleType type : {ScaleType::kBf16, ScaleType::kF16}) {
    const Checkpoint checkpoint(384, 544, 22, type);
    const OnDevice device(checkpoint, {0, 384, 0, 544});
    std::mt19937 rng(9);
    const DeviceArray<__nv_bfloat16> x(RandomBf16(rng, size_t{300} * 384, 1.0f));
    for (const int rows : {1, 20, 64, 100, 128, 300}) {
      EXPECT_EQ(Run(device.packed, x.get(), rows, 5), RunByPieces(device.packed, x.get(), rows, 5))
          << rows << " rows";
    }
  }
}

// Gates far from zero: exp overflows, or vanishes.
TEST_F(GatedLinearTest, TakesAnyGate) {
  Checkpoint checkpoint(128, 32, 23);
  for (uint16_t& scale : checkpoint.scales) scale = checkpoint.Rounded(3.0f);
  const OnDevice device(checkpoint, {0, 128, 0, 32});
  std::mt19937 rng(10);
  const DeviceArray<__nv_bfloat16> x(RandomBf16(rng, size_t{64} * 128, 1.0f));
  const std::vector<float> gated = Run(device.packed, x.get(), 64, 1);
  EXPECT_TRUE(std::ranges::all_of(gated, [](float value) { return std::isfinite(value); }));
  EXPECT_GT(std::ranges::count(gated, 0.0f), 0);
  EXPECT_GT(*std::ranges::max_element(gated), 1e4f);
}

TEST_F(GatedLinearTest, RefusesASplitTile) {
  const Checkpoint checkpoint(384, 320, 24);
  const OnDevice device(checkpoint, {0, 384, 0, 320});
  std::mt19937 rng(11);
  const DeviceArray<__nv_bfloat16> x(RandomBf16(rng, size_t{32} * 384, 1.0f));
  DeviceArray<__nv_bfloat16> gated(32 * 160);
  MediumLinear linear;
  linear.weight = device.packed;
  linear.x = x.get();
  linear.rows = 32;
  linear.gated = gated.get();
  linear.plan = PlanMediumLinear(320, 384, 32, 4);
  ASSERT_TRUE(linear.plan.splits_tiles());
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());
  linear.plan = WithWholeTiles(linear.plan);
  EXPECT_FALSE(linear.plan.splits_tiles());
  ExpectOk(RunMediumLinear(linear, nullptr));
  DeviceArray<float> partials(static_cast<size_t>(linear.plan.PartialFloats(32, 320)));
  linear.partials = partials.get();
  EXPECT_FALSE(RunMediumLinear(linear, nullptr).ok());  // both
}

// The 14B's gate and up on an H100, at every tensor parallel size.
TEST(PlanGatedLinearTest, LeavesTilesWholeWhereThatCostsLittle) {
  constexpr int kInputs = 5120, kGroups = kInputs / kGroupInputs, kSms = 132;
  for (const int tp_size : {1, 2, 4, 8}) {
    const int outputs = 34816 / tp_size, tiles = outputs / 256;
    for (int rows = 1; rows <= kMaxMediumRows; rows += rows < 160 ? 1 : 16) {
      const std::optional<SplitPlan> plan = PlanGatedLinear(outputs, kInputs, rows, kSms);
      const int blocks = kSms / ((rows + 127) / 128);
      // What a block has at most, in units.
      const int even = (tiles * kGroups + blocks - 1) / blocks;
      const int whole = (tiles + blocks - 1) / blocks * kGroups;
      const bool splits = even != whole;
      const double loss = static_cast<double>(whole) / even - 1.0;
      ASSERT_EQ(plan.has_value(), !splits || (rows > 128 && loss < 0.05))
          << tp_size << " ranks, " << rows << " rows";
      if (!plan) continue;
      EXPECT_FALSE(plan->splits_tiles());
      EXPECT_EQ(plan->num_tiles, tiles);
      EXPECT_LE(plan->blocks_per_slice, blocks);
      EXPECT_EQ(plan->units_per_block, whole);
      EXPECT_GE(plan->blocks_per_slice * plan->units_per_block, tiles * kGroups);
      EXPECT_EQ(PlanMediumLinear(outputs, kInputs, rows, kSms).splits_tiles(), splits);
    }
  }
  // 136 tiles: 17 for each of 8 blocks; 9.7 for 14; 2.06 for 66, where some block would have 3.
  EXPECT_TRUE(PlanGatedLinear(34816, kInputs, 2048, kSms));
  EXPECT_TRUE(PlanGatedLinear(34816, kInputs, 1100, kSms));
  EXPECT_FALSE(PlanGatedLinear(34816, kInputs, 256, kSms));
  // 3.9 for each of 10 blocks: split up to 128 rows, whatever the loss.
  EXPECT_FALSE(PlanGatedLinear(39 * 256, kInputs, 128, 10));
  EXPECT_TRUE(PlanGatedLinear(39 * 256, kInputs, 129, 20));
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
