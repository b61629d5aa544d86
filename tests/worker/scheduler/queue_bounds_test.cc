// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/queue_bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/wire/retry_after.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr QueueBounds kBounds{.max_sequences = 4, .max_tokens = 1000};

TEST(QueueBoundsTest, FreeRowsAddRoom) {
  EXPECT_TRUE(CheckQueueBounds(kBounds, {.free_rows = 2}, 6, 10, {}).ok());
  EXPECT_FALSE(CheckQueueBounds(kBounds, {.free_rows = 2}, 7, 10, {}).ok());
  EXPECT_TRUE(CheckQueueBounds({.max_sequences = 0}, {.free_rows = 1}, 1, 10, {}).ok())
      << "without a queue, what can run at once is still taken";
}

TEST(QueueBoundsTest, RefusalNamesNumbersAndWait) {
  const QueueLoad load{.waiting_sequences = 4, .waiting_tokens = 30};
  const absl::Status status = CheckQueueBounds(kBounds, load, 3, 10, milliseconds(200));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max-queued-requests 4"));
  EXPECT_EQ(wire::RetryAfter(status), milliseconds(600)) << "three must end first";
}

TEST(QueueBoundsTest, WaitIsKnownWithoutHistoryAndBounded) {
  const QueueLoad load{.waiting_sequences = 4};
  EXPECT_EQ(wire::RetryAfter(CheckQueueBounds(kBounds, load, 1, 10, {})), milliseconds(1000));
  EXPECT_EQ(wire::RetryAfter(CheckQueueBounds(kBounds, load, 1, 10, std::chrono::hours(1))),
            milliseconds(30'000));
}

TEST(QueueBoundsTest, TokensAreBoundedButOneAloneAlwaysFits) {
  EXPECT_TRUE(CheckQueueBounds(kBounds, {}, 1, 5000, {}).ok());
  const QueueLoad load{.waiting_sequences = 1, .waiting_tokens = 600};
  EXPECT_TRUE(CheckQueueBounds(kBounds, load, 1, 400, {}).ok());
  const absl::Status status = CheckQueueBounds(kBounds, load, 1, 401, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(wire::RetryAfter(status).has_value());
}

}  // namespace
}  // namespace sluice::worker
