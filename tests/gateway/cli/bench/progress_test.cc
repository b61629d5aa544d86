// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace sluice::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LoadProgress After(double seconds, uint64_t chunks) {
  LoadProgress progress;
  progress.elapsed = std::chrono::duration<double>(seconds);
  progress.sent = 7;
  progress.running = 3;
  progress.finished = 4;
  progress.chunks = chunks;
  return progress;
}

TEST(ProgressTest, RatesAreSinceTheLastLine) {
  EXPECT_EQ(ProgressText("measuring", After(1, 100), After(3, 300)),
            "measuring 3.0 s: 7 sent, 3 running, 4 finished, 0 refused, 0 failed, 100.0 chunks/s");
}

std::string Shown(bool tty) {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_NONBLOCK), 0);
  Terminal terminal;
  terminal.stderr_is_tty = terminal.color = tty;
  {
    ProgressLine line(terminal, fds[1], "measuring");
    for (int i = 0; i <= 210; ++i) line.Show(After(0.1 * i, 0));
  }
  std::string text(65536, ' ');
  text.resize(static_cast<size_t>(std::max<ssize_t>(read(fds[0], text.data(), text.size()), 0)));
  close(fds[0]);
  close(fds[1]);
  return text;
}

TEST(ProgressTest, ATerminalsLineRenewsItselfAndGoesAway) {
  const std::string text = Shown(true);
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  EXPECT_EQ(text.substr(text.size() - 4), "\r\033[K");
  // Each within one row, or it could not be erased: 79 columns where the width is unknown.
  const size_t line = text.find("\r", 1);
  EXPECT_LE(line, 4 + 79u);
}

TEST(ProgressTest, ElsewhereLinesArePlainAndFew) {
  const std::string text = Shown(false);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
}

}  // namespace
}  // namespace sluice::gateway
