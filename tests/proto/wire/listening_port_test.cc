// SPDX-License-Identifier: Apache-2.0
#include "proto/wire/listening_port.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::wire {
namespace {

using ::testing::HasSubstr;

// A socket that listens on a port of 127.0.0.1 that the system chose.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(fd_, any, size), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    EXPECT_EQ(getsockname(fd_, any, &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { close(fd_); }
  int port() const { return port_; }

 private:
  const int fd_;
  int port_ = 0;
};

TEST(ListeningPortTest, TakenPortIsRefusedWithTheReason) {
  const Listener listener;
  for (const char* host : {"127.0.0.1", "0.0.0.0"}) {
    const absl::Status status = CheckCanListen(host, listener.port());
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << host;
    EXPECT_THAT(std::string(status.message()), HasSubstr("in use")) << host;
  }
}

TEST(ListeningPortTest, FreePortStaysFree) {
  int port = 0;
  {
    port = Listener().port();
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
