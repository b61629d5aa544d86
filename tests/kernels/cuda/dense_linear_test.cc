// SPDX-License-Identifier: Apache-2.0
// The dense linear against the CPU's, at rows and widths around the edges of tiles.
//
// Tolerance. Products of bf16 are exact in fp32. Tensor cores round the running sum towards zero
// after every 16 of K products: on average 2^-24 of it, K / 16 times, always the same way. x has
// deviation 1 and W 0.02, so a running sum of 5 deviations ends at 0.1 sqrt(K) and is two thirds of
// that on average, while absolute products are 0.013 K together: of those it is 2^-24 times 0.32
// sqrt(K), 2^-18.6 for the longest K. The order of fp32 sums matters less; 2^-17 leaves room. One
// product too many or too few would be seen: 0.013 against 0.0017 at most. An output in bf16 is
// rounded once more, 2^-9 of it.
#include "kernels/dense/dense_linear.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/awq/dequantize.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_pack.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/cuda/awq_checkpoint.h"
#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels::dense {
namespace {

struct Width {
  int inputs, outputs;
};

const std::vector<Width> kWidths =
    kSmallShapes
        ? std::vector<Width>{{8, 1}, {384, 96}, {136, 130}}
        : std::vector<Width>{{5120, 7168},  {5120, 896},   {5120, 5120}, {640, 5120}, {5120, 4352},
                             {17408, 5120}, {2176, 5120},  {384, 1536},  {512, 384},  {136, 130},
                             {8, 1},        {5120, 18992}, {384, 2048}};
const std::vector<int> kRowCounts =
    kSmallShapes ? std::vector<int>{1, 2, 17, 65}
                 : std::vector<int>{1,  2,   8,   16,  17,  31,  32,  33,   63,   64,
                                    65, 127, 128, 129, 255, 256, 257, 1000, 2048, 8191};
// The oracle computes every output of up to so many rows; of more, so many rows and columns drawn
// at random, the last ones among them.
constexpr int kMaxFullRows = 257;
constexpr int kSampled = 64;

class DenseLinearTest : public CudaTest, public ::testing::WithParamInterface<Width> {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped()) return;
    workspace_ = std::make_unique<DeviceArray<uint8_t>>(kDenseWorkspaceBytes);
    DenseOptions options;
    options.workspace = workspace_->get();
    options.workspace_bytes = workspace_->size();
    auto opened = DenseLinear::Open(options);
    ASSERT_NE(opened.linear, nullptr) << opened.error;
    linear_ = std::move(opened.linear);
  }

  // kSampled of 0 .. count - 1, count - 1 among them.
  static std::vector<int> Sample(std::mt19937& rng, int count) {
    std::vector<int> places(kSampled);
    for (int& place : places) place = static_cast<int>(rng() % static_cast<unsigned>(count));
    places.back() = count - 1;
    return places;
  }
  static float Dot(std::span<const __nv_bfloat16> x, std::span<const __nv_bfloat16> weight) {
    double sum = 0.0;
    for (size_t k = 0; k < x.size(); ++k) {
      sum += double{__bfloat162float(x[k])} * double{__bfloat162float(weight[k])};
    }
    return static_cast<float>(sum);
  }

  std::unique_ptr<DeviceArray<uint8_t>> workspace_;  // outlives linear_
  std::unique_ptr<DenseLinear> linear_;
  cpu::ThreadPool pool_{4};
};

TEST_P(DenseLinearTest, EqualsTheCpu) {
  const auto [inputs, outputs] = GetParam();
  const int max_rows = *std::max_element(std::begin(kRowCounts), std::end(kRowCounts));
  std::mt19937 rng(2);
  const std::vector<__nv_bfloat16> x = RandomBf16(rng, size_t{1} * max_rows * inputs, 1.0f);
  const std::vector<__nv_bfloat16> weight = RandomBf16(rng, size_t{1} * outputs * inputs, 0.02f);
  cpu::LinearWeight reference({.format = cpu::LinearWeight::Format::kBf16,
                               .outputs = outputs,
                               .inputs = inputs,
                               .full_inputs = inputs});
  cpu::PackDense({.data = weight.data(), .type = cpu::FloatType::kBf16, .row_stride = inputs}, 0,
                 outputs, pool_, &reference);
  const int full_rows = std::min(max_rows, kMaxFullRows);
  const std::vector<float> x_floats =
      ToFloats(std::span(x).first(static_cast<size_t>(full_rows) * static_cast<size_t>(inputs)));
  std::vector<float> expected(size_t{1} * full_rows * outputs);
  cpu::Linear(reference, x_floats.data(), inputs, full_rows, expected.data(), outputs, pool_);
  const DeviceArray<__nv_bfloat16> x_device(x), weight_device(weight);
  const float tolerance = std::ldexp(0.013f * static_cast<float>(inputs), -17);
  for (const int rows : kRowCounts) {
    const size_t size = size_t{1} * rows * outputs;
    DeviceArray<float> floats(size);
    DenseProduct product;
    product.shape = {rows, outputs, inputs, OutputType::kFloat};
    product.x = x_device.get();
    product.weight = weight_device.get();
    product.out = floats.get();
    ExpectOk(linear_->Prepare(product.shape));
    ExpectOk(linear_->Run(product, nullptr));
    const std::vector<float> actual = floats.ToHost();
    DeviceArray<__nv_bfloat16> rounded(size);
    product.shape.output_type = OutputType::kBf16;
    product.out = rounded.get();
    ExpectOk(linear_->Run(product, nullptr));
    const std::vector<float> actual_rounded = ToFloats(rounded.ToHost());
    // Written so that NaN fails; not one ASSERT a value, of which there are hundreds of millions.
    const auto is_near = [&](size_t i, float wanted) {
      return std::abs(actual[i] - wanted) <= tolerance &&
             std::abs(actual_rounded[i] - wanted) <= tolerance + std::abs(wanted) / 256;
    };
    const auto say = [&](size_t i, float wanted) {
      return std::to_string(rows) + " rows, at " + std::to_string(i) + ": " +
             std::to_string(actual[i]) + " and, rounded, " + std::to_string(actual_rounded[i]) +
             ", not " + std::to_string(wanted);
    };
    if (rows <= full_rows) {
      for (size_t i = 0; i < size; ++i) ASSERT_TRUE(is_near(i, expected[i])) << say(i, expected[i]);
    } else {
      const std::vector<int> columns = Sample(rng, outputs);
      for (const int row : Sample(rng, rows)) {
        for (const int column : columns) {
          const float wanted = Dot(
              std::span(x).subspan(size_t{1} * row * inputs, static_cast<size_t>(inputs)),
              std::span(weight).subspan(size_t{1} * column * inputs, static_cast<size_t>(inputs)));
          const size_t i = size_t{1} * row * outputs + column;
          ASSERT_TRUE(is_near(i, wanted)) << say(i, wanted);
        }
      }
    }
    // The same shape gives the same bits.
    ExpectOk(linear_->Run(product, nullptr));
    ASSERT_EQ(ToFloats(rounded.ToHost()), actual_rounded);
  }
}

// The way of an AWQ linear with more rows than its own kernels take. Each weight is rounded to bf16
// once, 2^-9 of it; absolute products are 0.03 an input together (awq_test.cc).
TEST_F(DenseLinearTest, MultipliesWidenedWeights) {
  constexpr int kInputs = 384, kOutputs = 96, kRows = 70;
  const awq::Checkpoint checkpoint(kInputs, kOutputs, 21);
  const awq::ShardRange all = {0, kInputs, 0, kOutputs};
  const awq::OnDevice device(checkpoint, all);
  DeviceArray<__nv_bfloat16> widened(size_t{kInputs} * kOutputs);
  ExpectOk(awq::Dequantize(device.packed, widened.get(), nullptr));
  std::mt19937 rng(8);
  const std::vector<__nv_bfloat16> x = RandomBf16(rng, size_t{kRows} * kInputs, 1.0f);
  std::vector<float> expected(size_t{kRows} * kOutputs);
  cpu::Linear(checkpoint.OnCpu(all, pool_), ToFloats(x).data(), kInputs, kRows, expected.data(),
              kOutputs, pool_);
  const DeviceArray<__nv_bfloat16> x_device(x);
  DeviceArray<float> out(expected.size());
  ExpectOk(linear_->Run(
      {{kRows, kOutputs, kInputs, OutputType::kFloat}, x_device.get(), widened.get(), out.get()},
      nullptr));
  const std::vector<float> actual = out.ToHost();
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], std::ldexp(0.03f * kInputs, -9)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, DenseLinearTest, ::testing::ValuesIn(kWidths),
                         [](const ::testing::TestParamInfo<Width>& width) {
                           return std::to_string(width.param.inputs) + "x" +
                                  std::to_string(width.param.outputs);
                         });

TEST_F(DenseLinearTest, IsCapturedIntoAGraph) {
  constexpr int kRows = 4, kInputs = 64, kOutputs = 32;
  std::mt19937 rng(3);
  const DeviceArray<__nv_bfloat16> x(RandomBf16(rng, kRows * kInputs, 1.0f));
  const DeviceArray<__nv_bfloat16> weight(RandomBf16(rng, kOutputs * kInputs, 1.0f));
  const DeviceArray<float> direct(kRows * kOutputs), replayed(kRows * kOutputs);
  DenseProduct product = {
      {kRows, kOutputs, kInputs, OutputType::kFloat}, x.get(), weight.get(), direct.get()};
  ExpectOk(linear_->Run(product, nullptr));
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  CheckCuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CheckCuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  product.out = replayed.get();
  const LaunchResult captured = linear_->Run(product, stream);
  CheckCuda(cudaStreamEndCapture(stream, &graph));
  ASSERT_TRUE(captured.ok()) << captured.problem;
  CheckCuda(cudaGraphInstantiate(&executable, graph, 0));
  EXPECT_TRUE(std::isnan(replayed.ToHost()[0])) << "ran while it was captured";
  CheckCuda(cudaGraphLaunch(executable, stream));
  CheckCuda(cudaStreamSynchronize(stream));
  EXPECT_EQ(replayed.ToHost(), direct.ToHost());
  CheckCuda(cudaGraphExecDestroy(executable));
  CheckCuda(cudaGraphDestroy(graph));
  CheckCuda(cudaStreamDestroy(stream));
}

TEST_F(DenseLinearTest, RefusesWhatItCannotDo) {
  EXPECT_FALSE(linear_->Prepare({1, 8, 12, OutputType::kFloat}).ok());
  EXPECT_FALSE(linear_->Prepare({1, 0, 8, OutputType::kFloat}).ok());
  DenseProduct product;
  product.shape = {1, 8, 8, OutputType::kFloat};
  product.x = reinterpret_cast<const __nv_bfloat16*>(workspace_->get() + 2);
  EXPECT_FALSE(linear_->Run(product, nullptr).ok());
  product.shape.rows = 0;
  EXPECT_TRUE(linear_->Run(product, nullptr).ok());
}

}  // namespace
}  // namespace sluice::kernels::dense
