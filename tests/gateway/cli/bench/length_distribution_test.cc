// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/length_distribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

namespace sluice::gateway {
namespace {

struct Moments {
  double mean = 0;
  double deviation = 0;
  int least = 0;
  int most = 0;
};

Moments Sampled(const std::string& text) {
  constexpr int kCount = 20000;
  const auto lengths = LengthDistribution::Parse(text);
  EXPECT_TRUE(lengths.ok()) << lengths.status();
  RandomStream random(3, RandomStream::Purpose::kLengths, 0);
  double sum = 0, squares = 0;
  Moments moments{0, 0, 1 << 30, 0};
  for (int i = 0; i < kCount; ++i) {
    const int length = lengths->Sample(random);
    sum += length;
    squares += static_cast<double>(length) * length;
    moments.least = std::min(moments.least, length);
    moments.most = std::max(moments.most, length);
  }
  moments.mean = sum / kCount;
  moments.deviation = std::sqrt(squares / kCount - moments.mean * moments.mean);
  return moments;
}

TEST(LengthDistributionTest, HasTheMomentsItNames) {
  const Moments fixed = Sampled("17");
  EXPECT_EQ(fixed.least, 17);
  EXPECT_EQ(fixed.most, 17);
  const Moments uniform = Sampled("uniform:10-20");
  EXPECT_EQ(uniform.least, 10);
  EXPECT_EQ(uniform.most, 20);
  EXPECT_NEAR(uniform.mean, 15, 0.1);
  EXPECT_NEAR(uniform.deviation, std::sqrt(10.0), 0.1);
  const Moments normal = Sampled("normal:500,50");
  EXPECT_NEAR(normal.mean, 500, 1.5);
  EXPECT_NEAR(normal.deviation, 50, 1.5);
  const Moments lognormal = Sampled("lognormal:600,500");
  EXPECT_NEAR(lognormal.mean, 600, 15);
  EXPECT_NEAR(lognormal.deviation, 500, 50);
  EXPECT_GT(lognormal.most, 3000);
}

TEST(LengthDistributionTest, BoundsCutTheTails) {
  const Moments lognormal = Sampled("lognormal:600,500,16-1000");
  EXPECT_GE(lognormal.least, 16);
  EXPECT_LE(lognormal.most, 1000);
  EXPECT_GE(Sampled("normal:2,50").least, 1);
  const Moments beyond = Sampled("normal:10,1,500-600");  // never drawn: clipped
  EXPECT_EQ(beyond.least, 500);
}

TEST(LengthDistributionTest, SaysWhatItTakes) {
  for (const char* text :
       {"", "0", "-3", "x", "1.5", "uniform:5", "uniform:9-5", "uniform:0-5", "normal:5",
        "normal:5,0", "normal:5,1,9", "zipf:3", "lognormal:a,b", "uniform:1-2-3", "99999999999"}) {
    const auto lengths = LengthDistribution::Parse(text);
    EXPECT_FALSE(lengths.ok()) << text;
    EXPECT_NE(std::string(lengths.status().message()).find("uniform:LOW-HIGH"), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice::gateway
