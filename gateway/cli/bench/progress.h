// SPDX-License-Identifier: Apache-2.0
// ProgressLine: how a run stands, on standard error while it goes on. On a terminal one line that
// renews itself every half second; elsewhere a plain line every ten. One thread.
#pragma once

#include <string>

#include "gateway/cli/bench/load_driver.h"
#include "gateway/cli/terminal.h"

namespace sluice::gateway {

class ProgressLine {
 public:
  // `title` comes first in each line: "warming up" or "measuring".
  ProgressLine(const Terminal& terminal, int fd, std::string title);
  // Removes the line from a terminal.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const LoadProgress& progress);

 private:
  const bool is_tty_;
  const int fd_;
  const std::string title_;
  double next_s_;
  LoadProgress last_;
  bool shown_ = false;
};

// "measuring 12.0 s: 340 sent, 32 running, 300 finished, 8 refused, 0 failed, 512.0 chunks/s"; the
// rate is since `last`.
std::string ProgressText(const std::string& title, const LoadProgress& last,
                         const LoadProgress& now);

}  // namespace sluice::gateway
