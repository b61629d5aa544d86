// SPDX-License-Identifier: Apache-2.0
// Norm, activation, exp, reductions and embedding against their oracles bit for bit, and the
// oracles against double precision.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/embedding.h"
#include "kernels/cpu/mlp.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/reference/math_reference.h"
#include "kernels/cpu/simd/kernel_table.h"
#include "tests/kernels/cpu/isa_fixture.h"

namespace sluice::kernels::cpu {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class ElementwiseTest : public IsaTest {};
INSTANTIATE_TEST_SUITE_P(Isas, ElementwiseTest, AllIsas(), IsaTestName);

TEST_P(ElementwiseTest, RmsNormEqualsOracle) {
  std::mt19937 rng(31);
  ThreadPool pool(2);
  for (int64_t width : {1, 15, 16, 17, 100, 384, 5120}) {
    const int64_t rows = 9;
    const std::vector<float> x = RandomNormal(rng, rows * width, 3.0f);
    const std::vector<float> delta = RandomNormal(rng, rows * width);
    const std::vector<float> weight = RandomNormal(rng, width);
    std::vector<float> y(rows * width), residual = x, y2(rows * width), sum = x;
    RmsNorm(x.data(), weight.data(), 1e-6f, rows, width, y.data(), pool);
    AddRmsNorm(residual.data(), delta.data(), weight.data(), 1e-6f, rows, width, y2.data(), pool);
    AddInPlace(sum.data(), delta.data(), rows * width, pool);
    for (int64_t row = 0; row < rows; ++row) {
      auto slice = [&](const std::vector<float>& v) {
        return std::vector<float>(v.begin() + row * width, v.begin() + (row + 1) * width);
      };
      std::vector<float> added = slice(x);
      for (int64_t i = 0; i < width; ++i) added[i] += delta[row * width + i];
      EXPECT_TRUE(SameBits(slice(y), reference::RmsNorm(slice(x), weight, 1e-6f))) << width;
      EXPECT_TRUE(SameBits(slice(residual), added)) << width;
      EXPECT_TRUE(SameBits(slice(sum), added)) << width;
      EXPECT_TRUE(SameBits(slice(y2), reference::RmsNorm(added, weight, 1e-6f))) << width;
    }
  }
}

TEST_P(ElementwiseTest, SiluMulEqualsOracle) {
  std::mt19937 rng(32);
  ThreadPool pool(2);
  for (int64_t width : {1, 7, 16, 33, 1000}) {
    std::vector<float> x = RandomNormal(rng, 3 * 2 * width, 10.0f);
    x[0] = -200.0f;
    std::vector<float> out(3 * width);
    SiluMul(x.data(), 3, width, out.data(), pool);
    for (int64_t row = 0; row < 3; ++row) {
      const auto gate = x.begin() + row * 2 * width;
      EXPECT_TRUE(
          SameBits({out.begin() + row * width, out.begin() + (row + 1) * width},
                   reference::SiluMul({gate, gate + width}, {gate + width, gate + 2 * width})));
    }
  }
}

TEST_P(ElementwiseTest, ExpEqualsOracle) {
  std::vector<float> x = {0.0f,       -0.0f, 1.0f,  -1.0f, -86.99999f, -87.0f,
                          -87.00001f, -1e4f, -kInf, 88.0f, 89.0f,      kInf};
  for (float v = -88.0f; v < 89.0f; v += 0.0137f) x.push_back(v);
  std::vector<float> got(x.size()), expected;
  simd::Active().exp(x.data(), static_cast<int64_t>(x.size()), got.data());
  for (float v : x) expected.push_back(reference::Exp(v));
  EXPECT_TRUE(SameBits(got, expected));
  // Every NaN stays one, whatever its payload.
  for (uint32_t bits : {0x7FC00000u, 0x7FC00001u, 0x7FFFFFFFu, 0xFFC00001u, 0xFFFFFFFFu}) {
    const std::vector<float> nans(21, std::bit_cast<float>(bits));
    std::vector<float> out(21, 0.0f);
    simd::Active().exp(nans.data(), 21, out.data());
    for (float v : out) EXPECT_TRUE(std::isnan(v)) << std::hex << bits;
  }
}

TEST_P(ElementwiseTest, SumExpEqualsOracle) {
  std::mt19937 rng(33);
  for (int64_t num : {1, 15, 16, 100, 1024}) {
    const std::vector<float> x = RandomNormal(rng, num, 5.0f);
    std::vector<float> terms;
    for (float v : x) terms.push_back(reference::Exp(v - 3.0f));
    EXPECT_EQ(simd::Active().sum_exp(x.data(), 3.0f, num), reference::TreeSum16(terms)) << num;
  }
}

TEST_P(ElementwiseTest, MaxFiniteFindsEveryBadValue) {
  std::mt19937 rng(34);
  for (int64_t num : {1, 5, 16, 31, 64}) {
    std::vector<float> x = RandomNormal(rng, num);
    for (float& v : x) v -= 10.0f;  // all negative: padding must not win
    bool finite = false;
    EXPECT_EQ(simd::Active().max_finite(x.data(), num, &finite),
              *std::max_element(x.begin(), x.end()));
    EXPECT_TRUE(finite);
    for (int64_t at = 0; at < num; ++at) {
      for (float bad : {kNan, kInf, -kInf}) {
        std::vector<float> broken = x;
        broken[at] = bad;
        simd::Active().max_finite(broken.data(), num, &finite);
        EXPECT_FALSE(finite) << num << " " << at << " " << bad;
      }
    }
  }
}

TEST(ElementwiseAccuracyTest, ExpIsWithinOneUlp) {
  for (float x = -87.0f; x <= 88.0f; x += 0.00731f) {
    const double exact = std::exp(double{x});
    const double ulp = std::ldexp(1.0, std::ilogb(static_cast<float>(exact)) - 23);
    EXPECT_LE(std::abs(reference::Exp(x) - exact), 1.1 * ulp) << x;
  }
}

TEST(ElementwiseAccuracyTest, NormAndSiluAreCloseToDouble) {
  std::mt19937 rng(35);
  const std::vector<float> x = RandomNormal(rng, 5120, 20.0f), w = RandomNormal(rng, 5120);
  double squares = 0.0;
  for (float v : x) squares += double{v} * v;
  const std::vector<float> norm = reference::RmsNorm(x, w, 1e-6f);
  const std::vector<float> silu = reference::SiluMul(x, w);
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = w[i] * (x[i] / std::sqrt(squares / 5120 + 1e-6));
    EXPECT_NEAR(norm[i], expected, 4e-7 * std::abs(expected));
    const double gate = x[i] / (1.0 + std::exp(-double{x[i]})) * w[i];
    EXPECT_NEAR(silu[i], gate, 4e-7 * std::abs(gate) + 1e-36);
  }
}

TEST(EmbeddingTest, GathersOwnRowsAndZerosOthers) {
  ThreadPool pool(2);
  // Three rows of bf16, ids 100 ... 102, one byte off any alignment.
  const int64_t width = 5;
  std::vector<std::byte> store(1 + 3 * width * 2);
  for (int i = 0; i < 3 * width; ++i) {
    const auto bits =
        static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(i + 1)) >> 16);
    std::memcpy(store.data() + 1 + i * 2, &bits, 2);
  }
  const EmbeddingShard shard{store.data() + 1, FloatType::kBf16, 3, width, 100};
  const std::vector<int32_t> ids = {101, 99, 100, 103, 102, 0};
  std::vector<float> out(ids.size() * width, -1.0f);
  EmbeddingGather(shard, ids, out.data(), pool);
  for (size_t t = 0; t < ids.size(); ++t) {
    const bool own = ids[t] >= 100 && ids[t] < 103;
    for (int i = 0; i < width; ++i) {
      const float expected = own ? static_cast<float>((ids[t] - 100) * width + i + 1) : 0.0f;
      EXPECT_EQ(out[t * width + i], expected) << ids[t];
    }
  }
}

TEST(FloatTypeTest, ConvertsEveryHalf) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F16ToFloat(static_cast<uint16_t>(bits));
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double mantissa = static_cast<double>(bits & 0x3FF);
    const double sign = bits & 0x8000 ? -1.0 : 1.0;
    if (exponent == 31) {
      EXPECT_TRUE(mantissa == 0 ? std::isinf(value) && value * sign > 0 : std::isnan(value))
          << bits;
    } else {
      const double expected =
          exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      EXPECT_EQ(value, static_cast<float>(sign * expected)) << bits;
      EXPECT_EQ(std::signbit(value), sign < 0) << bits;
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::cpu
