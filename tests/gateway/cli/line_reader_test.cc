// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/line_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::gateway {
namespace {

TEST(LineReaderTest, GivesLinesThenTheRestThenTheEnd) {
  int input[2], interrupt[2];
  ASSERT_EQ(pipe(input), 0);
  ASSERT_EQ(pipe2(interrupt, O_NONBLOCK), 0);
  ASSERT_EQ(write(input[1], "one\ntwo\nrest", 12), 12);
  close(input[1]);
  LineReader reader(input[0], interrupt[0]);
  EXPECT_EQ(reader.Read().text, "one");
  EXPECT_EQ(reader.Read().text, "two");
  EXPECT_EQ(reader.Read().text, "rest");
  EXPECT_EQ(reader.Read().kind, LineReader::Kind::kEnd);
  close(input[0]);
  close(interrupt[0]);
  close(interrupt[1]);
}

TEST(LineReaderTest, AnInterruptDropsWhatWasTyped) {
  int input[2], interrupt[2];
  ASSERT_EQ(pipe(input), 0);
  ASSERT_EQ(pipe2(interrupt, O_NONBLOCK), 0);
  LineReader reader(input[0], interrupt[0]);
  const std::string signal(128, 'x');  // the size of a signalfd_siginfo
  ASSERT_EQ(write(interrupt[1], signal.data(), signal.size()), 128);
  EXPECT_EQ(reader.Read().kind, LineReader::Kind::kInterrupted);
  ASSERT_EQ(write(input[1], "next\n", 5), 5);
  EXPECT_EQ(reader.Read().text, "next");
  for (int fd : {input[0], input[1], interrupt[0], interrupt[1]}) close(fd);
}

}  // namespace
}  // namespace sluice::gateway
