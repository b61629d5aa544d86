// SPDX-License-Identifier: Apache-2.0
// LocalListener: a socket that listens on a port of 127.0.0.1, which the system chose. By itself it
// takes connections and never says a word. Gone, it resets those that nobody accepted.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace sluice::testing {

class LocalListener {
 public:
  // flags: of socket(2), as SOCK_NONBLOCK.
  explicit LocalListener(int flags = 0, int backlog = 8)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    if (bind(fd_, raw, size) != 0 || listen(fd_, backlog) != 0) std::abort();
    if (getsockname(fd_, raw, &size) != 0) std::abort();
    port_ = ntohs(address.sin_port);
  }
  ~LocalListener() { close(fd_); }
  LocalListener(const LocalListener&) = delete;
  LocalListener& operator=(const LocalListener&) = delete;

  int fd() const { return fd_; }
  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  const int fd_;
  int port_ = 0;
};

}  // namespace sluice::testing
