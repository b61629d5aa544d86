// SPDX-License-Identifier: Apache-2.0
// LineReader: lines typed at a terminal, interruptible by Ctrl-C (read from a signalfd) without
// losing the program. Single threaded.
#pragma once

#include <string>

namespace sluice::gateway {

class LineReader {
 public:
  enum class Kind { kLine, kInterrupted, kEnd };
  struct Line {
    Kind kind = Kind::kEnd;
    std::string text;  // without the newline
  };

  // Neither descriptor is owned.
  LineReader(int input_fd, int interrupt_fd) : input_fd_(input_fd), interrupt_fd_(interrupt_fd) {}

  // Blocks for the next line, a Ctrl-C or the end of input.
  Line Read();

 private:
  const int input_fd_;
  const int interrupt_fd_;
  std::string pending_;
  bool ended_ = false;
};

}  // namespace sluice::gateway
