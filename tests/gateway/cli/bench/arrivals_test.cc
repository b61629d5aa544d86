// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace sluice::gateway {
namespace {

std::vector<double> Times(double per_second, uint64_t seed, size_t count) {
  PoissonArrivals arrivals(per_second, seed);
  std::vector<double> times;
  for (size_t i = 0; i < count; ++i) times.push_back(arrivals.Next().count());
  return times;
}

// Kolmogorov and Smirnov: the largest distance from an exponential distribution's cumulative one.
TEST(PoissonArrivalsTest, GapsAreExponential) {
  constexpr size_t kCount = 20000;
  constexpr double kRate = 7;
  const std::vector<double> times = Times(kRate, 1, kCount);
  std::vector<double> gaps = {times[0]};
  for (size_t i = 1; i < kCount; ++i) gaps.push_back(times[i] - times[i - 1]);
  std::sort(gaps.begin(), gaps.end());
  double distance = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const double wanted = 1 - std::exp(-kRate * gaps[i]);
    distance = std::max({distance, std::abs(wanted - static_cast<double>(i) / kCount),
                         std::abs(wanted - static_cast<double>(i + 1) / kCount)});
  }
  EXPECT_LT(distance, 1.63 / std::sqrt(static_cast<double>(kCount)));  // passes 99 of 100 seeds
}

// Counts in disjoint windows have their mean for their variance, and do not know of each other.
TEST(PoissonArrivalsTest, CountsInWindowsAreIndependent) {
  constexpr size_t kWindows = 5000;
  std::vector<double> counts(kWindows);
  for (double time : Times(20, 2, 20 * kWindows + 2000)) {
    if (time < kWindows) ++counts[static_cast<size_t>(time)];
  }
  double mean = 0, variance = 0, neighbours = 0;
  for (double count : counts) mean += count / kWindows;
  for (double count : counts) variance += (count - mean) * (count - mean) / (kWindows - 1);
  for (size_t i = 1; i < kWindows; ++i) {
    neighbours += (counts[i] - mean) * (counts[i - 1] - mean) / (kWindows - 1);
  }
  EXPECT_NEAR(mean, 20, 0.2);
  EXPECT_NEAR(variance / mean, 1, 0.06);
  EXPECT_NEAR(neighbours / variance, 0, 0.05);
}

TEST(PoissonArrivalsTest, TheSeedDecides) {
  EXPECT_EQ(Times(3, 5, 100), Times(3, 5, 100));
  EXPECT_NE(Times(3, 5, 100), Times(3, 6, 100));
}

TEST(PoissonArrivalsTest, AnInfiniteRateIsAllAtOnce) {
  EXPECT_EQ(Times(std::numeric_limits<double>::infinity(), 1, 3), (std::vector<double>{0, 0, 0}));
}

}  // namespace
}  // namespace sluice::gateway
