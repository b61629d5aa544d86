// SPDX-License-Identifier: Apache-2.0
// What is read through awq::OutputColumns has its row's scale: in pieces, as floats and as bf16, by
// every kernel that reads a linear's output. Each is compared with itself on values that the host
// has scaled.
#include <algorithm>
#include <cmath>
#include <memory>

#include "kernels/awq/sum_pieces.h"
#include "kernels/mlp/silu_mul.h"
#include "kernels/norm/add_rms_norm.h"
#include "kernels/rope/head_norm_rope.h"
#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels {
namespace {

constexpr int kRows = 5, kOutputs = 4 * attention::kHeadDim, kRowWidth = 384;
constexpr float kEps = 1e-6f;

class LinearOutputTest : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped()) return;
    pieces_.plan = awq::MakeSplitPlan(kOutputs, 1024, 2, 20, 32);
    ASSERT_GT(pieces_.plan.max_pieces, 1);
    pieces_.rows = kRows;
    pieces_.outputs = kOutputs;
    const auto size = static_cast<size_t>(pieces_.plan.PartialFloats(kRows, kOutputs));
    partials_ = std::make_unique<DeviceArray<float>>(ToFloats(RandomBf16(rng_, size, 1.0f)));
    pieces_.partials = partials_->get();

    // Rows of very different sizes; one is all zeros, and some have fewer parts.
    std::vector<float> squares(kRows * awq::kRowParts);
    for (int row = 0; row < kRows; ++row) {
      double sum = 0.0;
      for (int part = 0; part < awq::kRowParts - row % 2 && row != 3; ++part) {
        float& value = squares[static_cast<size_t>(row * awq::kRowParts + part)];
        value = std::pow(50.0f, static_cast<float>(row)) * std::abs(normal_(rng_));
        sum += value;
      }
      factors_.push_back(1.0 / std::sqrt(sum / kRowWidth + kEps));
    }
    squares_ = std::make_unique<DeviceArray<float>>(squares);
    ExpectOk(awq::SumPieces(pieces_, sums_.get(), nullptr));
    std::vector<float> scaled = sums_.ToHost();
    for (size_t i = 0; i < scaled.size(); ++i) {
      scaled[i] = static_cast<float>(scaled[i] * factors_[i / kOutputs]);
    }
    scaled_ = std::make_unique<DeviceArray<float>>(scaled);
  }

  awq::LinearOutput WithScale(awq::LinearOutput output) const {
    output.row_scale = {squares_->get(), kRowWidth, kEps};
    return output;
  }
  static awq::LinearOutput Whole(const DeviceArray<float>& values) {
    return awq::WholeOutput(values.get(), kRows, kOutputs);
  }
  // Ends in what `run` leaves of a linear's output: with a row scale, and scaled by the host.
  template <typename Run>
  void ExpectTheSame(Run run, float relative, float absolute) const {
    const std::vector<float> expected = run(Whole(*scaled_));
    for (const awq::LinearOutput& output : {pieces_, Whole(sums_)}) {
      const std::vector<float> actual = run(WithScale(output));
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < actual.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[i], relative * std::abs(expected[i]) + absolute) << i;
      }
    }
  }

  std::mt19937 rng_{17};
  std::normal_distribution<float> normal_;
  awq::LinearOutput pieces_;
  std::unique_ptr<DeviceArray<float>> partials_, squares_, scaled_;
  DeviceArray<float> sums_{kRows * kOutputs};  // of the pieces
  std::vector<double> factors_;                // by row
};

TEST_F(LinearOutputTest, SumsAreScaled) {
  ExpectTheSame(
      [](const awq::LinearOutput& output) {
        DeviceArray<float> out(kRows * kOutputs);
        ExpectOk(awq::SumPieces(output, out.get(), nullptr));
        return out.ToHost();
      },
      1e-6f, 0.0f);
  // In place, where nothing else would change.
  ExpectOk(awq::SumPieces(WithScale(Whole(sums_)), sums_.get(), nullptr));
  const std::vector<float> in_place = sums_.ToHost(), expected = scaled_->ToHost();
  for (size_t i = 0; i < in_place.size(); ++i) {
    ASSERT_NEAR(in_place[i], expected[i], 1e-6f * std::abs(expected[i])) << i;
  }
}

TEST_F(LinearOutputTest, FinishedValuesAreScaled) {
  std::vector<__nv_bfloat16> values = RandomBf16(rng_, kRows * kOutputs, 1.0f);
  const DeviceArray<__nv_bfloat16> device(values);
  awq::LinearOutput output;
  output.values = device.get();
  output.rows = kRows;
  output.outputs = kOutputs;
  ExpectOk(awq::SumPieces(WithScale(output), sums_.get(), nullptr));
  const std::vector<float> actual = sums_.ToHost();
  for (size_t i = 0; i < actual.size(); ++i) {
    const double expected = __bfloat162float(values[i]) * factors_[i / kOutputs];
    ASSERT_NEAR(actual[i], expected, 1e-6 * std::abs(expected)) << i;
  }
}

TEST_F(LinearOutputTest, NormAddsWhatIsScaled) {
  const DeviceArray<__nv_bfloat16> weight(RandomBf16(rng_, kOutputs, 1.0f));
  ExpectTheSame(
      [&](const awq::LinearOutput& output) {
        DeviceArray<float> residual(std::vector<float>(kRows * kOutputs, 0.0f));
        DeviceArray<__nv_bfloat16> out(kRows * kOutputs);
        ExpectOk(norm::RunAddRmsNorm(
            {residual.get(), &output, weight.get(), kEps, kRows, kOutputs, out.get()}, nullptr));
        return residual.ToHost();
      },
      1e-6f, 0.0f);
}

// One unit of bf16's last place, where sums lie beside a boundary.
TEST_F(LinearOutputTest, GatesWhatIsScaled) {
  ExpectTheSame(
      [](const awq::LinearOutput& output) {
        DeviceArray<__nv_bfloat16> out(kRows * kOutputs / 2);
        ExpectOk(mlp::SiluMul(output, kOutputs / 2, out.get(), nullptr));
        return ToFloats(out.ToHost());
      },
      1.0f / 128, 1e-6f);
}

TEST_F(LinearOutputTest, HeadsAreNormedFromWhatIsScaled) {
  constexpr int kDim = attention::kHeadDim;
  const DeviceArray<__nv_bfloat16> q_norm(RandomBf16(rng_, kDim, 1.0f)),
      k_norm(RandomBf16(rng_, kDim, 1.0f));
  std::vector<float2> turns(kRows * kDim / 2);
  for (float2& turn : turns) {
    const float angle = normal_(rng_);
    turn = {std::cos(angle), std::sin(angle)};
  }
  const DeviceArray<float2> angles(turns);
  const DeviceArray<int32_t> slots(std::vector<int32_t>{3, 0, 63, 17, 40});
  ExpectTheSame(
      [&](const awq::LinearOutput& output) {
        DeviceArray<__nv_bfloat16> q(kRows * 2 * kDim);
        const std::vector<__nv_bfloat16> zeros(attention::kPageSlots * kDim, __float2bfloat16(0));
        DeviceArray<__nv_bfloat16> keys(zeros), values(zeros);
        rope::HeadNormRope params;
        params.qkv = output;
        params.num_q_heads = 2;
        params.q_norm = q_norm.get();
        params.k_norm = k_norm.get();
        params.eps = kEps;
        params.angles = angles.get();
        params.slots = slots.get();
        params.pages = {keys.get(), values.get(), 1};
        params.q = q.get();
        ExpectOk(rope::RunHeadNormRope(params, nullptr));
        std::vector<float> all = ToFloats(q.ToHost());
        for (const auto* written : {&keys, &values}) {
          const std::vector<float> more = ToFloats(written->ToHost());
          all.insert(all.end(), more.begin(), more.end());
        }
        return all;
      },
      1.0f / 128, 1e-5f);
}

}  // namespace
}  // namespace sluice::kernels
