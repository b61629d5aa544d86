// SPDX-License-Identifier: Apache-2.0
// Processes die, hang, and are told to stop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/integration/running_call.h"
#include "tests/integration/tiny_checkpoint.h"
#include "tests/integration/worker_process.h"

namespace sluice::integration {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> Arguments(int tp_size, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--model=" + TinyCheckpoint(),
                                        "--tp-size=" + std::to_string(tp_size)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(WorkerFailureTest, KilledRankRestartsTheGroup) {
  WorkerProcess worker(Arguments(2));
  ASSERT_TRUE(worker.WaitServing());
  ExpectRecovery(worker, worker.RankPids().at(1));
}

TEST(WorkerFailureTest, KilledLeaderRestartsTheGroup) {
  WorkerProcess worker(Arguments(2));
  ASSERT_TRUE(worker.WaitServing());
  ExpectRecovery(worker, worker.RankPids().at(0));
}

TEST(WorkerFailureTest, HungRankIsNoticedAndReplaced) {
  WorkerProcess worker(Arguments(2, {"--step-timeout=1"}));
  ASSERT_TRUE(worker.WaitServing());
  const std::vector<pid_t> ranks = worker.RankPids();
  RunningCall call(worker);
  ASSERT_EQ(kill(ranks.at(1), SIGSTOP), 0);
  EXPECT_EQ(call.ReadToTheEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  for (pid_t rank : ranks) EXPECT_TRUE(Eventually([rank] { return IsGone(rank); }));
  ASSERT_TRUE(worker.WaitServing());
}

TEST(WorkerFailureTest, KilledLauncherLeavesNoProcess) {
  std::vector<pid_t> ranks;
  WorkerProcess worker(Arguments(2));
  ASSERT_TRUE(worker.WaitServing());
  ranks = worker.RankPids();
  ASSERT_EQ(ranks.size(), 2u);
  worker.Signal(SIGKILL);
  EXPECT_EQ(worker.Wait().exit_code, 128 + SIGKILL);
  for (pid_t rank : ranks) EXPECT_TRUE(Eventually([rank] { return IsGone(rank); }));
}

TEST(WorkerFailureTest, TerminationDrainsAndExitsWell) {
  WorkerProcess worker(Arguments(2, {"--drain-timeout=60"}));
  ASSERT_TRUE(worker.WaitServing());
  const std::vector<pid_t> ranks = worker.RankPids();
  RunningCall call(worker);
  worker.Signal(SIGTERM);
  EXPECT_TRUE(call.ReadToTheEnd().ok()) << "what runs may end";
  EXPECT_EQ(call.ids, 1024 - 20);
  const ProcessEnd end = worker.Wait();
  EXPECT_EQ(end.exit_code, 0);
  for (pid_t rank : ranks) EXPECT_TRUE(IsGone(rank));
  EXPECT_THAT(end.errors, HasSubstr("draining"));
  EXPECT_THAT(end.errors, ::testing::Not(HasSubstr("critical"))) << end.errors;
}

TEST(WorkerFailureTest, DrainThatTakesTooLongEndsRequestsInWords) {
  WorkerProcess worker(Arguments(2, {"--drain-timeout=0"}));
  ASSERT_TRUE(worker.WaitServing());
  RunningCall call(worker);
  worker.Signal(SIGTERM);
  EXPECT_EQ(call.ReadToTheEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(worker.Wait().exit_code, 0);
}

TEST(WorkerFailureTest, TakenPortIsRefused) {
  WorkerProcess worker(Arguments(1));
  ASSERT_TRUE(worker.WaitServing());
  const std::string port = worker.address().substr(worker.address().rfind(':') + 1);
  const ProcessEnd second =
      RunWorker({"--model=" + TinyCheckpoint(), "--grpc-port=" + port, "--metrics-port=0"});
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_THAT(second.errors, HasSubstr("--grpc-port " + port));
}

TEST(WorkerFailureTest, JsonLogHasTheRequestId) {
  WorkerProcess worker(Arguments(1, {"--log-format=json"}));
  ASSERT_TRUE(worker.WaitServing());
  EXPECT_TRUE(worker.Generate(GreedyRequest("named \"so\"", {1, 2}, 3)).status.ok());
  worker.Signal(SIGTERM);
  const ProcessEnd end = worker.Wait();
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_THAT(end.errors, HasSubstr(R"("request_id":"named \"so\"")"));
}

}  // namespace
}  // namespace sluice::integration
