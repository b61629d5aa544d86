// SPDX-License-Identifier: Apache-2.0
// The dense linear for few rows against the CPU's.
//
// Tolerance. As dense_linear_test.cc's: rounding towards zero after every 16 products and the order
// of fp32 sums, 2^-17 of the sum of absolute products (0.013 an input here); bf16 outputs are
// rounded once more, 2^-9.
#include "kernels/dense/small_dense_linear.h"

#include <cmath>

#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_pack.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels::dense {
namespace {

struct Width {
  int inputs, outputs;
};

const std::vector<Width> kWidths =
    kSmallShapes
        ? std::vector<Width>{{64, 1}, {384, 100}, {576, 16}, {2560, 33}, {5120, 17}, {5248, 5}}
        : std::vector<Width>{{64, 1},       {384, 100},    {576, 16},    {5120, 7168},
                             {5120, 18992}, {17408, 5120}, {2176, 5120}, {5248, 5}};

class SmallDenseLinearTest : public CudaTest, public ::testing::WithParamInterface<Width> {
 protected:
  cpu::ThreadPool pool_{4};
};

TEST_P(SmallDenseLinearTest, EqualsTheCpu) {
  const auto [inputs, outputs] = GetParam();
  std::mt19937 rng(2);
  const auto size_of_x = static_cast<size_t>(kMaxSmallDenseRows * inputs);
  const std::vector<__nv_bfloat16> x = RandomBf16(rng, size_of_x, 1.0f);
  const std::vector<__nv_bfloat16> weight = RandomBf16(rng, size_t{1} * outputs * inputs, 0.02f);
  cpu::LinearWeight reference({.format = cpu::LinearWeight::Format::kBf16,
                               .outputs = outputs,
                               .inputs = inputs,
                               .full_inputs = inputs});
  cpu::PackDense({.data = weight.data(), .type = cpu::FloatType::kBf16, .row_stride = inputs}, 0,
                 outputs, pool_, &reference);
  const std::vector<float> x_floats = ToFloats(x);
  std::vector<float> expected(size_t{kMaxSmallDenseRows} * outputs);
  cpu::Linear(reference, x_floats.data(), inputs, kMaxSmallDenseRows, expected.data(), outputs,
              pool_);
  const DeviceArray<__nv_bfloat16> weight_device(weight);
  const float tolerance = std::ldexp(0.013f * static_cast<float>(inputs), -17);
  std::vector<float> first_row;
  for (int rows = 1; rows <= kMaxSmallDenseRows; ++rows) {
    // Only the rows there are: what lies behind them is not to be read, nor written.
    const DeviceArray<__nv_bfloat16> x_device(
        std::vector<__nv_bfloat16>(x.begin(), x.begin() + int64_t{rows} * inputs));
    const size_t size = size_t{1} * rows * outputs;
    constexpr size_t kBeyond = 64;
    const DeviceArray<float> floats(size + kBeyond);
    const DeviceArray<__nv_bfloat16> rounded(size + kBeyond);
    DenseProduct product = {{rows, outputs, inputs, OutputType::kFloat},
                            x_device.get(),
                            weight_device.get(),
                            floats.get()};
    ExpectOk(RunSmallDense(product, nullptr));
    product.shape.output_type = OutputType::kBf16;
    product.out = rounded.get();
    ExpectOk(RunSmallDense(product, nullptr));
    const std::vector<float> actual = floats.ToHost();
    const std::vector<float> actual_rounded = ToFloats(rounded.ToHost());
    for (size_t i = 0; i < size; ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance) << rows << " rows, at " << i;
      ASSERT_EQ(actual_rounded[i], __bfloat162float(__float2bfloat16(actual[i]))) << i;
    }
    for (size_t i = size; i < size + kBeyond; ++i) {
      ASSERT_TRUE(std::isnan(actual[i]) && std::isnan(actual_rounded[i])) << i - size << " beyond";
    }
    // A row's bits do not depend on how many rows there are.
    const std::vector<float> row(actual.begin(), actual.begin() + outputs);
    if (rows == 1) first_row = row;
    ASSERT_EQ(row, first_row) << rows << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, SmallDenseLinearTest, ::testing::ValuesIn(kWidths),
                         [](const ::testing::TestParamInfo<Width>& width) {
                           return std::to_string(width.param.inputs) + "x" +
                                  std::to_string(width.param.outputs);
                         });

TEST_F(SmallDenseLinearTest, SaysWhatItTakes) {
  EXPECT_TRUE(TakesSmallDense({1, 1, 64, OutputType::kFloat}));
  EXPECT_TRUE(TakesSmallDense({16, 100, 5120, OutputType::kBf16}));
  EXPECT_FALSE(TakesSmallDense({17, 100, 5120, OutputType::kBf16}));
  EXPECT_FALSE(TakesSmallDense({0, 100, 5120, OutputType::kBf16}));
  EXPECT_FALSE(TakesSmallDense({1, 100, 96, OutputType::kBf16}));
  DenseProduct product;
  product.shape = {17, 100, 5120, OutputType::kBf16};
  EXPECT_FALSE(RunSmallDense(product, nullptr).ok());
}

}  // namespace
}  // namespace sluice::kernels::dense
