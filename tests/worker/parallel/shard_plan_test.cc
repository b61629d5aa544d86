// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/shard_plan.h"

#include <gtest/gtest.h>

namespace sluice::worker {
namespace {

TEST(ShardPlanTest, SlicesCoverTheWholeInOrder) {
  // Qwen3-14B: vocabulary, feed-forward size, query width.
  for (const int64_t full : {151936, 17408, 5120}) {
    for (const int world : {1, 2, 4, 8}) {
      int64_t covered = 0;
      for (int rank = 0; rank < world; ++rank) {
        const Slice slice = ShardOf(full, rank, world);
        EXPECT_EQ(slice.begin, covered);
        covered += slice.size;
      }
      EXPECT_EQ(covered, full);
    }
  }
  EXPECT_EQ(ShardOf(151936, 7, 8).size, 18992);
}

}  // namespace
}  // namespace sluice::worker
