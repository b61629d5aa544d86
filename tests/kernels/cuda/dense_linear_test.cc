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
        ? std::vector<Width>{{8, 1}, {384, 96}, {136, 130}}
        : std::vector<Width>{{5120, 7168},  {5120, 896},   {5120, 5120}, {640, 5120}, {5120, 4352},
                             {17408, 5120}, {2176, 5120},  {384, 1536},  {512, 384},  {136, 130},
                             {8, 1},        {5120, 18992}, {384, 2048}};
const std::vector<int> kRowCounts =
    kSmallShapes ? std::vector<int>{1, 2, 17, 65}
                 : std::vector<int>{1,  2,   8,   16,  17,  31,  32,  33,   63,  64,
                                    65, 127, 128, 129, 255, 256, 257, 1000, 2048};

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
  const std::vector<float> x_floats = ToFloats(x);
  std::vector<float> expected(size_t{1} * max_rows * outputs);
  cpu::Linear(reference, x_floats.data(), inputs, max_rows, expected.data(), outputs, pool_);
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
    for (size_t i = 0; i < size; ++i) {
      // Written so that NaN fails; not one ASSERT a value, of which there are hundreds of millions.
      const float error = std::abs(actual[i] - expected[i]);
      const float rounded_error = std::abs(actual_rounded[i] - expected[i]);
      if (error <= tolerance && rounded_error <= tolerance + std::abs(expected[i]) / 256) continue;
      FAIL() << rows << " rows, at " << i << ": " << actual[i] << " and, rounded, "
             << actual_rounded[i] << ", not " << expected[i];
    }
    // The same shape gives the same bits.
    ExpectOk(linear_->Run(product, nullptr));
    ASSERT_EQ(ToFloats(rounded.ToHost()), actual_rounded);
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
