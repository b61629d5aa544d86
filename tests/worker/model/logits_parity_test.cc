// SPDX-License-Identifier: Apache-2.0
// Our logits against Transformers' in float32 on dequantized weights.
#include <gtest/gtest.h>

#include "tests/worker/model/golden_logits.h"
#include "tests/worker/model/model_runner.h"

namespace sluice::worker {
namespace {

TEST(LogitsParityTest, EveryGoldenRunIsWithinTolerance) {
  const std::vector<GoldenLogits> goldens = LoadGoldenLogits();
  ASSERT_EQ(goldens.size(), 9U);
  for (const GoldenLogits& golden : goldens) {
    const double difference = DifferenceFrom(golden, ParityDir(golden.checkpoint));
    RecordProperty(golden.name, std::to_string(difference));
    std::printf("%-32s differs by %.2e of the range\n", golden.name.c_str(), difference);
    EXPECT_LT(difference, kLogitsTolerance) << golden.name;
  }
}

// The YaRN runs can only pass if YaRN is there.
TEST(LogitsParityTest, YarnRunsFailWithoutYarn) {
  for (GoldenLogits golden : LoadGoldenLogits()) {
    if (golden.rope_scaling.empty()) continue;
    golden.rope_scaling.clear();
    EXPECT_GT(DifferenceFrom(golden, ParityDir(golden.checkpoint)), 100 * kLogitsTolerance)
        << golden.name;
  }
}

}  // namespace
}  // namespace sluice::worker
