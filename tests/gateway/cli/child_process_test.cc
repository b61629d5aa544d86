// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kShell[] = "/bin/sh";

// Lines until the child closes its output.
std::vector<std::string> AllLines(ChildProcess* child) {
  std::vector<std::string> lines;
  while (child->output_fd() >= 0) {
    pollfd fd{child->output_fd(), POLLIN, 0};
    poll(&fd, 1, -1);
    for (std::string& line : child->ReadLines()) lines.push_back(line);
  }
  return lines;
}

void AwaitEnd(ChildProcess* child) {
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(child->pid()), &info, WEXITED | WNOWAIT);
  ASSERT_TRUE(child->HasEnded());
}

TEST(ChildProcessTest, GivesItsLinesAndHowItEnded) {
  auto child = ChildProcess::Start(kShell, {"-c", "echo one; echo two three; exit 3"});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_THAT(AllLines(child->get()), ElementsAre("one", "two three"));
  AwaitEnd(child->get());
  EXPECT_EQ((*child)->HowItEnded(), "exited with status 3");
  EXPECT_FALSE((*child)->EndedWell());
}

TEST(ChildProcessTest, ASignalIsNamed) {
  auto child = ChildProcess::Start(kShell, {"-c", "echo up; exec sleep 1000"});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_FALSE((*child)->HasEnded());
  (*child)->Signal(SIGTERM);
  AwaitEnd(child->get());
  EXPECT_EQ((*child)->HowItEnded(), "was killed by signal 15 (Terminated)");
}

TEST(ChildProcessTest, AMissingBinaryIsAnErrorAtStart) {
  const auto child = ChildProcess::Start("/nonexistent/server", {});
  EXPECT_TRUE(absl::IsUnavailable(child.status()));
  EXPECT_THAT(std::string(child.status().message()),
              HasSubstr("/nonexistent/server: No such file"));
}

TEST(ChildProcessTest, TheDestructorEndsIt) {
  pid_t pid = 0;
  {
    auto child = ChildProcess::Start(kShell, {"-c", "exec sleep 1000"});
    ASSERT_TRUE(child.ok()) << child.status();
    pid = (*child)->pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

// Its parent is a process of the test's own, which is killed without a chance to clean up.
TEST(ChildProcessTest, ItDiesWithItsParentHoweverThatDies) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    auto child = ChildProcess::Start(kShell, {"-c", "exec sleep 1000"});
    const pid_t pid = child.ok() ? (*child)->pid() : 0;
    (void)!write(fds[1], &pid, sizeof(pid));
    for (;;) pause();
  }
  pid_t child = 0;
  ASSERT_EQ(read(fds[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
  ASSERT_GT(child, 0);
  close(fds[1]);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  // The write end is the child's now; it closes when the child is gone.
  char byte;
  EXPECT_EQ(read(fds[0], &byte, 1), 0);
  close(fds[0]);
}

TEST(RunAndWaitTest, GivesTheStatus) {
  EXPECT_EQ(RunAndWait(kShell, {"-c", "exit 4"}).value(), 4);
  EXPECT_EQ(RunAndWait(kShell, {"-c", "kill -9 $$"}).value(), 137);
  EXPECT_FALSE(RunAndWait("/nonexistent", {}).ok());
}

}  // namespace
}  // namespace sluice::gateway
