// SPDX-License-Identifier: Apache-2.0
// Linked with mutant_attention.cc: norms after RoPE instead of before must not pass for Qwen3.
#include <gtest/gtest.h>

#include "tests/worker/model/golden_logits.h"
#include "tests/worker/model/model_runner.h"

namespace sluice::worker {
namespace {

TEST(MutationTest, NormAfterRopeIsFound) {
  for (const GoldenLogits& golden : LoadGoldenLogits()) {
    EXPECT_GT(DifferenceFrom(golden, ParityDir(golden.checkpoint)), 100 * kLogitsTolerance)
        << golden.name;
  }
}

}  // namespace
}  // namespace sluice::worker
