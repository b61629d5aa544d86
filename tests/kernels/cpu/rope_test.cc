// SPDX-License-Identifier: Apache-2.0
// RoPE against Transformers' own tables (tests/reference/rope_golden.py), default and YaRN, up to
// position 131,071; the per-head norm and rotation against their oracle.
#include "kernels/cpu/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/cpu/reference/math_reference.h"
#include "tests/kernels/cpu/isa_fixture.h"

namespace sluice::kernels::cpu {
namespace {

RopeFrequencies Make(const nlohmann::json& c) {
  if (c["yarn"].is_null()) return DefaultRope(c["theta"], c["head_dim"]);
  YarnParams yarn;
  yarn.factor = c["yarn"]["factor"];
  yarn.original_max_positions = c["yarn"]["original_max_position_embeddings"];
  yarn.beta_fast = c["yarn"].value("beta_fast", yarn.beta_fast);
  yarn.beta_slow = c["yarn"].value("beta_slow", yarn.beta_slow);
  yarn.attention_factor = c["yarn"].value("attention_factor", yarn.attention_factor);
  return YarnRope(c["theta"], c["head_dim"], yarn);
}

int64_t UlpDistance(float a, float b) {
  return std::abs(static_cast<int64_t>(std::bit_cast<int32_t>(a)) - std::bit_cast<int32_t>(b));
}

TEST(RopeTest, EqualsTransformers) {
  std::ifstream file(SLUICE_SOURCE_DIR "/tests/golden/rope.json");
  ASSERT_TRUE(file) << "tests/golden/rope.json is missing";
  const nlohmann::json golden = nlohmann::json::parse(file);
  ThreadPool pool(2);
  ASSERT_GE(golden["cases"].size(), 6u);
  for (const nlohmann::json& c : golden["cases"]) {
    const RopeFrequencies rope = Make(c);
    EXPECT_NEAR(rope.attention_factor, c["attention_factor"].get<float>(), 1e-7) << c["yarn"];
    const auto inv_freq = c["inv_freq"].get<std::vector<float>>();
    ASSERT_EQ(rope.inv_freq.size(), inv_freq.size());
    size_t inexact = 0;
    for (size_t i = 0; i < inv_freq.size(); ++i) {
      // torch's float32 power misses the nearest float by a little now and then; ours does not.
      // YaRN's blend can double the difference.
      EXPECT_LE(UlpDistance(rope.inv_freq[i], inv_freq[i]), 2)
          << "frequency " << i << " of " << c["yarn"];
      inexact += rope.inv_freq[i] != inv_freq[i];
    }
    EXPECT_LE(inexact, 1u) << c["yarn"];

    const auto positions = c["positions"].get<std::vector<int32_t>>();
    const size_t half = inv_freq.size();
    std::vector<float> cos(positions.size() * half), sin(cos.size());
    RopeAngles(rope, positions, cos.data(), sin.data(), pool);
    for (size_t t = 0; t < positions.size(); ++t) {
      for (size_t i = 0; i < half; ++i) {
        // One ulp of a frequency moves an angle by one or two of its own ulps, 2^-24 of it each.
        const float angle = static_cast<float>(positions[t]) * inv_freq[i];
        const double tolerance = rope.inv_freq[i] == inv_freq[i] ? 3e-7 : 3e-7 + 2.4e-7 * angle;
        EXPECT_NEAR(cos[t * half + i], c["cos"][t][i].get<float>(), tolerance)
            << positions[t] << " " << i;
        EXPECT_NEAR(sin[t * half + i], c["sin"][t][i].get<float>(), tolerance)
            << positions[t] << " " << i;
      }
    }
  }
}

// qwen3-semantics.md 2.8: the ramp runs from dimension 23 to 40 and the factor is 1.13863.
TEST(RopeTest, YarnOfQwen3) {
  const RopeFrequencies plain = DefaultRope(1e6, 128);
  const RopeFrequencies yarn = YarnRope(1e6, 128, {.factor = 4.0, .original_max_positions = 32768});
  EXPECT_NEAR(yarn.attention_factor, 1.13863, 1e-5);
  for (int i = 0; i < 64; ++i) {
    const float ratio = plain.inv_freq[i] / yarn.inv_freq[i];
    if (i <= 23) {
      EXPECT_EQ(ratio, 1.0f) << i;
    } else if (i < 40) {
      EXPECT_TRUE(ratio > 1.0f && ratio < 4.0f) << i;
    } else {
      EXPECT_NEAR(ratio, 4.0f, 1e-6) << i;
    }
  }
}

class HeadNormRopeTest : public IsaTest {};
INSTANTIATE_TEST_SUITE_P(Isas, HeadNormRopeTest, AllIsas(), IsaTestName);

TEST_P(HeadNormRopeTest, EqualsOracle) {
  std::mt19937 rng(21);
  for (int dim : {128, 64, 32, 16, 48, 80}) {
    const int heads = 3, tokens = 40;
    const int64_t stride = heads * dim + 5;
    const std::vector<float> weight = RandomNormal(rng, dim);
    std::vector<float> x = RandomNormal(rng, tokens * stride);
    const std::vector<float> cos = RandomNormal(rng, tokens * dim / 2);
    const std::vector<float> sin = RandomNormal(rng, tokens * dim / 2);
    for (bool norm : {true, false}) {
      std::vector<float> expected = x;
      for (int t = 0; t < tokens; ++t) {
        for (int h = 0; h < heads; ++h) {
          const auto at = expected.begin() + t * stride + h * dim;
          std::vector<float> head(at, at + dim);
          if (norm) head = reference::RmsNorm(head, weight, 1e-6f);
          const auto angle = static_cast<int64_t>(t) * dim / 2;
          head = reference::Rotate(head, {cos.begin() + angle, cos.begin() + angle + dim / 2},
                                   {sin.begin() + angle, sin.begin() + angle + dim / 2});
          std::copy(head.begin(), head.end(), at);
        }
      }
      ThreadPool pool(3);
      std::vector<float> got = x;
      HeadNormRope(got.data(), stride, tokens, heads, dim, norm ? weight.data() : nullptr, 1e-6f,
                   cos.data(), sin.data(), pool);
      EXPECT_TRUE(SameBits(got, expected)) << "dim " << dim << " norm " << norm;
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::cpu
