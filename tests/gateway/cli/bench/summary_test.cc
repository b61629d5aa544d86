// SPDX-License-Identifier: Apache-2.0
// Percentiles against NumPy's (tests/reference/percentile_golden.py).
#include "gateway/cli/bench/summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sluice::gateway {
namespace {

TEST(SummaryTest, PercentilesAndMeansAreNumPys) {
  std::ifstream file(SLUICE_SOURCE_DIR "/tests/golden/percentiles.json");
  const auto golden = nlohmann::json::parse(file);
  const auto percents = golden["percents"].get<std::vector<double>>();
  size_t compared = 0;
  for (const auto& one : golden["cases"]) {
    auto values = one["values"].get<std::vector<double>>();
    const Summary summary = Summarize(values);
    std::sort(values.begin(), values.end());
    EXPECT_EQ(summary.count, static_cast<int64_t>(values.size()));
    EXPECT_NEAR(summary.mean, one["mean"], 1e-9 * std::abs(summary.mean));
    for (size_t i = 0; i < percents.size(); ++i, ++compared) {
      const double wanted = one["percentiles"][i];
      EXPECT_NEAR(Percentile(values, percents[i]), wanted, 1e-9 * std::abs(wanted) + 1e-12);
    }
    EXPECT_EQ(summary.min, values.front());
    EXPECT_EQ(summary.max, values.back());
    EXPECT_NEAR(summary.p50, one["percentiles"][3], 1e-9 * summary.max);
    EXPECT_NEAR(summary.p90, one["percentiles"][4], 1e-9 * summary.max);
    EXPECT_NEAR(summary.p95, one["percentiles"][5], 1e-9 * summary.max);
    EXPECT_NEAR(summary.p99, one["percentiles"][6], 1e-9 * summary.max);
  }
  EXPECT_GT(compared, 200u);
}

TEST(SummaryTest, NothingMeasuredIsNoCount) { EXPECT_EQ(Summarize({}).count, 0); }

}  // namespace
}  // namespace sluice::gateway
