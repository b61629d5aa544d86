// SPDX-License-Identifier: Apache-2.0
#include "proto/wire/retry_after.h"

#include <gtest/gtest.h>

namespace sluice::wire {
namespace {

using std::chrono::milliseconds;

TEST(RetryAfterTest, TravelsWithTheStatus) {
  const absl::Status status =
      WithRetryAfter(absl::ResourceExhaustedError("queue is full"), milliseconds(1500));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "queue is full");
  EXPECT_EQ(RetryAfter(status), milliseconds(1500));
}

TEST(RetryAfterTest, LastOneCountsAndNegativeIsZero) {
  absl::Status status = WithRetryAfter(absl::UnavailableError("x"), milliseconds(7));
  status = WithRetryAfter(std::move(status), milliseconds(-3));
  EXPECT_EQ(RetryAfter(status), milliseconds(0));
}

TEST(RetryAfterTest, AbsentWithoutOne) {
  EXPECT_EQ(RetryAfter(absl::ResourceExhaustedError("x")), std::nullopt);
  EXPECT_EQ(RetryAfter(WithRetryAfter(absl::OkStatus(), milliseconds(5))), std::nullopt);
}

}  // namespace
}  // namespace sluice::wire
