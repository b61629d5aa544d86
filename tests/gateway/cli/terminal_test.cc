// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/terminal.h"

#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

TEST(TerminalTest, PlainWithoutATty) {
  // CTest's output is a pipe, so colour must be off whatever the environment says.
  if (DetectTerminal("xterm", nullptr).stdout_is_tty) GTEST_SKIP() << "standard output is a tty";
  const Terminal terminal = DetectTerminal("xterm", nullptr);
  EXPECT_FALSE(terminal.color);
  EXPECT_EQ(terminal.Dim(), "");
}

TEST(TerminalTest, NoColorAndDumbTerminalsArePlain) {
  EXPECT_FALSE(DetectTerminal("xterm", "1").color);
  EXPECT_FALSE(DetectTerminal("dumb", nullptr).color);
  EXPECT_FALSE(DetectTerminal(nullptr, nullptr).color);
}

TEST(WithoutControlsTest, DropsWhatCouldDriveATerminal) {
  EXPECT_EQ(WithoutControls("a\033[31mb\a\r\x7f"), "a[31mb");
  EXPECT_EQ(WithoutControls("one\n\ttwo"), "one\n\ttwo");
  EXPECT_EQ(WithoutControls("x\xc2\x9bz"), "xz");  // U+009B, the 8-bit control sequence start
  EXPECT_EQ(WithoutControls("\xc2\xa0é世"), "\xc2\xa0é世");  // U+00A0 is no control
}

}  // namespace
}  // namespace sluice::gateway
