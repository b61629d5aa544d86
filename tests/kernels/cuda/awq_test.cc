// SPDX-License-Identifier: Apache-2.0
// AWQ on the GPU against the CPU's linear: repacking and widening, and the product for few rows.
//
// Tolerance of a product. Both sides start from the same bf16 activations and the same (q - zero),
// exact; scales are applied in fp32. What differs is the order of fp32 sums of K products, so an
// output differs by at most about K / 2 roundings of 2^-24 of the sum of absolute products, in
// practice by their square root; 2^-20 of that sum is asked for. Widened weights round (q - zero) *
// scale once: they must be equal, bit for bit.
#include <algorithm>
#include <cmath>

#include "kernels/awq/dequantize.h"
#include "kernels/awq/small_linear.h"
#include "tests/kernels/cuda/awq_checkpoint.h"

namespace sluice::kernels::awq {
namespace {

// The weight as the CPU has it, [outputs][inputs]: its products with unit vectors.
std::vector<float> WeightOf(const cpu::LinearWeight& weight, cpu::ThreadPool& pool) {
  const int64_t inputs = weight.spec().inputs, outputs = weight.spec().outputs;
  std::vector<float> units(static_cast<size_t>(inputs * inputs), 0.0f);
  for (int64_t i = 0; i < inputs; ++i) units[static_cast<size_t>(i * inputs + i)] = 1.0f;
  std::vector<float> columns(static_cast<size_t>(inputs * outputs));
  cpu::Linear(weight, units.data(), inputs, inputs, columns.data(), outputs, pool);
  std::vector<float> rows(columns.size());
  for (int64_t k = 0; k < inputs; ++k) {
    for (int64_t n = 0; n < outputs; ++n) {
      rows[static_cast<size_t>(n * inputs + k)] = columns[static_cast<size_t>(k * outputs + n)];
    }
  }
  return rows;
}

class AwqTest : public CudaTest {
 protected:
  cpu::ThreadPool pool_{4};
};

TEST_F(AwqTest, WidensWhatItRepacked) {
  for (const ScaleType type : {ScaleType::kBf16, ScaleType::kF16}) {
    for (const ShardRange range : {ShardRange{0, 256, 0, 96}, ShardRange{128, 384, 64, 160}}) {
      const Checkpoint checkpoint(512, 256, 7, type);
      const OnDevice device(checkpoint, range);
      DeviceArray<__nv_bfloat16> out(size_t{1} * range.num_outputs * range.num_inputs);
      ExpectOk(Dequantize(device.packed, out.get(), nullptr));
      const std::vector<__nv_bfloat16> widened = out.ToHost();
      const std::vector<float> expected = WeightOf(checkpoint.OnCpu(range, pool_), pool_);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(__bfloat162float(widened[i]), __bfloat162float(__float2bfloat16(expected[i])))
            << "output " << i / range.num_inputs << ", input " << i % range.num_inputs;
      }
    }
  }
}

// The even outputs are one linear's, the odd ones another's: each as it is packed by itself.
TEST_F(AwqTest, InterleavesTwoLinears) {
  for (const ScaleType type : {ScaleType::kBf16, ScaleType::kF16}) {
    for (const ShardRange range : {ShardRange{0, 256, 0, 96}, ShardRange{128, 384, 64, 160}}) {
      const auto widened = [&](const OnDevice& device) {
        DeviceArray<__nv_bfloat16> out(size_t{1} * device.packed.outputs * range.num_inputs);
        ExpectOk(Dequantize(device.packed, out.get(), nullptr));
        return ToFloats(out.ToHost());
      };
      const Checkpoint even(512, 256, 7, type), odd(512, 256, 8, type);
      const std::vector<float> both = widened(OnDevice(even, odd, range));
      const std::vector<float> alone[] = {widened(OnDevice(even, range)),
                                          widened(OnDevice(odd, range))};
      ASSERT_EQ(both.size(), 2 * alone[0].size());
      const auto inputs = static_cast<size_t>(range.num_inputs);
      for (size_t i = 0; i < both.size(); ++i) {
        const size_t output = i / inputs, input = i % inputs;
        ASSERT_EQ(both[i], alone[output % 2][output / 2 * inputs + input])
            << "output " << output << ", input " << input;
      }
    }
  }
}

TEST_F(AwqTest, RefusesToRepackWhatDoesNotFit) {
  const Checkpoint checkpoint(128, 32, 7, ScaleType::kF16), wider(128, 64, 7, ScaleType::kF16);
  const ShardRange all = {0, 128, 0, 32};
  const OnDevice device(checkpoint, all);
  const StoredOnDevice stored(checkpoint), stored_wider(wider);
  const std::vector<AutoAwqTensors> linears(3, stored.tensors);
  const auto repacks = [&](size_t count, const PackedAwq& packed) {
    return Repack({linears.data(), count}, all, packed, 0, nullptr).ok();
  };
  EXPECT_TRUE(repacks(1, device.packed));
  PackedAwq other = device.packed;
  other.scale_type = ScaleType::kBf16;
  EXPECT_FALSE(repacks(1, other));
  EXPECT_FALSE(repacks(0, device.packed));
  EXPECT_FALSE(repacks(2, device.packed));  // twice the outputs that there is room for
  const OnDevice larger(Checkpoint(128, 96, 7, ScaleType::kF16), {0, 128, 0, 96});
  EXPECT_TRUE(repacks(2, larger.packed));
  EXPECT_FALSE(repacks(3, larger.packed));
  // Of two linears, the second is too small for the shard.
  const AutoAwqTensors unlike[] = {stored_wider.tensors, stored.tensors};
  EXPECT_FALSE(Repack(unlike, {0, 128, 32, 32}, larger.packed, 0, nullptr).ok());
}

struct Shape {
  int inputs, outputs;
};

// The 14B's linears at tensor parallel 1, 2, 4 and 8, and the bundled model's.
// Small: on the emulator's four multiprocessors one slice and several, whole tiles and many pieces,
// idle warps. Else the 14B's linears at tensor parallel 1, 2, 4 and 8, and the bundled model's.
const std::vector<Shape> kShapes =
    kSmallShapes
        ? std::vector<Shape>{{128, 32},  {128, 384}, {256, 384},  {384, 1536}, {512, 384},
                             {1024, 96}, {5120, 96}, {17408, 64}, {8704, 160}, {2176, 224}}
        : std::vector<Shape>{
              {5120, 7168},  {5120, 3584}, {5120, 1792},  {5120, 896},   {5120, 5120}, {2560, 5120},
              {1280, 5120},  {640, 5120},  {5120, 34816}, {5120, 17408}, {5120, 8704}, {5120, 4352},
              {17408, 5120}, {8704, 5120}, {4352, 5120},  {2176, 5120},  {384, 1536},  {512, 384},
              {384, 2048},   {1024, 384},  {128, 384},    {256, 384}};

class SmallLinearTest : public AwqTest, public ::testing::WithParamInterface<Shape> {
 protected:
  void ExpectCpus(int inputs, int outputs, ScaleType scale_type);
};

TEST_P(SmallLinearTest, EqualsTheCpu) {
  ExpectCpus(GetParam().inputs, GetParam().outputs, ScaleType::kBf16);
}

TEST_F(SmallLinearTest, EqualsTheCpuWithF16Scales) { ExpectCpus(512, 384, ScaleType::kF16); }

void SmallLinearTest::ExpectCpus(int inputs, int outputs, ScaleType scale_type) {
  const Checkpoint checkpoint(inputs, outputs, 11, scale_type);
  const ShardRange all = {0, inputs, 0, outputs};
  const OnDevice device(checkpoint, all);
  const cpu::LinearWeight reference = checkpoint.OnCpu(all, pool_);
  std::mt19937 rng(3);
  const std::vector<__nv_bfloat16> x = RandomBf16(rng, size_t{kMaxSmallRows} * inputs, 1.0f);
  const std::vector<float> x_floats = ToFloats(x);
  std::vector<float> expected(size_t{kMaxSmallRows} * outputs);
  cpu::Linear(reference, x_floats.data(), inputs, kMaxSmallRows, expected.data(), outputs, pool_);
  const DeviceArray<__nv_bfloat16> x_device(x);
  // Each number of rows on this GPU, and by a single block, whose warps then have tiles to
  // themselves.
  for (int i = 1; i <= 2 * kMaxSmallRows; ++i) {
    const int rows = (i + 1) / 2, num_sms = i % 2 == 0 ? NumSms() : 1;
    SmallLinear linear;
    linear.weight = device.packed;
    linear.x = x_device.get();
    linear.rows = rows;
    linear.plan = PlanSmallLinear(outputs, inputs, rows, num_sms);
    DeviceArray<float> partials(static_cast<size_t>(linear.plan.PartialFloats(rows, outputs)));
    linear.partials = partials.get();
    ExpectOk(RunSmallLinear(linear, nullptr));
    const std::vector<float> pieces = partials.ToHost();
    for (int row = 0; row < rows; ++row) {
      // 7 standard deviations of the weights (about 5 of q - zero, 0.007 of scale) times x: the
      // scale of the sum of absolute products is inputs * 0.03.
      const float tolerance = std::ldexp(0.03f * static_cast<float>(inputs), -20);
      for (int n = 0; n < outputs; ++n) {
        float sum = 0.0f;
        for (int slice = 0; slice < linear.plan.slices; ++slice) {
          for (int piece = 0; piece < linear.plan.NumPieces(n / kTileOutputs); ++piece) {
            const int64_t at =
                (int64_t{slice * linear.plan.max_pieces + piece} * rows + row) * outputs + n;
            sum += pieces[static_cast<size_t>(at)];
          }
        }
        ASSERT_NEAR(sum, expected[size_t{1} * row * outputs + n], tolerance)
            << rows << " rows, " << num_sms << " SMs, row " << row << ", output " << n;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, SmallLinearTest, ::testing::ValuesIn(kShapes),
                         [](const ::testing::TestParamInfo<Shape>& shape) {
                           return std::to_string(shape.param.inputs) + "x" +
                                  std::to_string(shape.param.outputs);
                         });

}  // namespace
}  // namespace sluice::kernels::awq
