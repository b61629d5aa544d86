// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/decode_graphs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace sluice::worker {
namespace {

using ::testing::ElementsAre;

TEST(DecodeGraphsTest, NoSizeIsBeyondTheRowsThatWorkspacesAreMadeFor) {
  EXPECT_THAT(DecodeGraphs::Sizes(1), ElementsAre(1));
  EXPECT_THAT(DecodeGraphs::Sizes(5), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(DecodeGraphs::Sizes(8), ElementsAre(1, 2, 4, 8));
  for (int rows = 1; rows <= 300; ++rows) {
    const std::vector<int> sizes = DecodeGraphs::Sizes(rows);
    EXPECT_EQ(sizes.back(), std::min(rows, 256));
    EXPECT_TRUE(std::ranges::is_sorted(sizes, std::ranges::less_equal())) << rows;
  }
}

}  // namespace
}  // namespace sluice::worker
