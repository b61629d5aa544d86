// SPDX-License-Identifier: Apache-2.0
#include "proto/wire/listening_port.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/local_listener.h"

namespace sluice::wire {
namespace {

using sluice::testing::LocalListener;
using ::testing::HasSubstr;

TEST(ListeningPortTest, TakenPortIsRefusedWithTheReason) {
  const LocalListener listener;
  for (const char* host : {"127.0.0.1", "0.0.0.0"}) {
    const absl::Status status = CheckCanListen(host, listener.port());
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << host;
    EXPECT_THAT(std::string(status.message()), HasSubstr("in use")) << host;
  }
}

TEST(ListeningPortTest, FreePortStaysFree) {
  int port = 0;
  {
    port = LocalListener().port();
  }
  EXPECT_TRUE(CheckCanListen("127.0.0.1", port).ok());
  EXPECT_TRUE(CheckCanListen("127.0.0.1", port).ok());
  EXPECT_TRUE(CheckCanListen("127.0.0.1", 0).ok());
}

TEST(ListeningPortTest, HostThatIsNotHereIsRefused) {
  // TEST-NET-1, which no machine has.
  EXPECT_EQ(CheckCanListen("192.0.2.1", 1).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace sluice::wire
