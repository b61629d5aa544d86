// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "gateway/cli/interrupt.h"

namespace sluice::gateway {

LineReader::Line LineReader::Read() {
  for (;;) {
    if (const size_t newline = pending_.find('\n'); newline != std::string::npos) {
      Line line{Kind::kLine, pending_.substr(0, newline)};
      pending_.erase(0, newline + 1);
      return line;
    }
    if (ended_) {
      if (pending_.empty()) return {Kind::kEnd, {}};
      return {Kind::kLine, std::exchange(pending_, {})};
    }
    pollfd fds[2] = {{input_fd_, POLLIN, 0}, {interrupt_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return {Kind::kEnd, {}};
    }
    if (fds[1].revents & POLLIN) {
      DrainInterrupts(interrupt_fd_);
      pending_.clear();
      return {Kind::kInterrupted, {}};
    }
    char buffer[4096];
    const ssize_t got = read(input_fd_, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) {
      pending_.append(buffer, static_cast<size_t>(got));
    } else {
      ended_ = true;
    }
  }
}

}  // namespace sluice::gateway
