// SPDX-License-Identifier: Apache-2.0
// Worker groups of several GPUs: the launcher, the ranks' meeting, and their ends. Twice: with the
// plugin on the emulator of CUDA and a stand-in of NCCL, and (label multi_gpu) on real GPUs, there
// of 2, 4 and 8 as far as they go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "tests/integration/running_call.h"
#include "tests/integration/tiny_checkpoint.h"
#include "tests/integration/worker_process.h"
#include "tests/support/qwen3_14b_config.h"

namespace sluice::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

#ifdef SLUICE_EMULATED_GPUS
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

// Small, since each GPU plans for its largest batch, and an emulated one computes slowly. More than
// two ranks do not share the tiny model's heads: they get two layers of the 14B's shapes.
std::vector<std::string> Arguments(std::vector<std::string> more = {}, int tp_size = 2) {
  std::vector<std::string> arguments = {"--device=cuda", "--tp-size=" + std::to_string(tp_size),
                                        "--max-num-seqs=2", "--max-batched-tokens=64"};
  if (tp_size == 2) {
    arguments.insert(arguments.end(), {"--model=" + TinyCheckpoint(), "--kv-cache-memory=16MiB"});
  } else {
    static const std::string folder = sluice::testing::WriteQwen3_14BConfig(
        ::testing::TempDir() + "two_layers_for_" + std::to_string(getpid()), 2);
    arguments.insert(arguments.end(), {"--model=" + folder, "--load-format=dummy",
                                       "--max-model-len=8192", "--kv-cache-memory=64MiB"});
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

class GpuGroupTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (kEmulated) return;
    const ProcessEnd check = RunWorker(Group({"--check", "--max-model-len=1024"}));
    if (check.exit_code != 0) GTEST_SKIP() << check.errors;
  }
  static std::vector<std::string> Group(std::vector<std::string> more = {}) {
    return Arguments(std::move(more), GetParam());
  }
};

TEST_P(GpuGroupTest, AnswersTheSameEveryTimeAndStopsWell) {
  WorkerProcess worker(Group());
  ASSERT_TRUE(worker.WaitServing());
  const std::vector<pid_t> ranks = worker.RankPids();
  ASSERT_EQ(ranks.size(), static_cast<size_t>(GetParam()));
  const Answer first = worker.Generate(GreedyRequest("first", Prompt(3, 100), 16));
  ASSERT_TRUE(first.status.ok()) << first.status;
  EXPECT_EQ(first.ids.size(), 16u);
  const Answer second = worker.Generate(GreedyRequest("second", Prompt(3, 100), 16));
  EXPECT_EQ(second.ids, first.ids);
  worker.Signal(SIGTERM);
  const ProcessEnd end = worker.Wait();
  EXPECT_EQ(end.exit_code, 0) << end.errors;
  EXPECT_THAT(end.errors, Not(HasSubstr("critical")));
  for (const pid_t rank : ranks) EXPECT_TRUE(IsGone(rank));
}

// What a start or an end leaves open or locked shows after some rounds.
TEST_P(GpuGroupTest, StartsAndStopsManyTimes) {
  if (kEmulated) GTEST_SKIP() << "seconds a round";
  for (int round = 0; round < 20; ++round) {
    std::printf("round %d\n", round);  // for who has to end it because it takes too long
    std::fflush(stdout);
    WorkerProcess worker(Group());
    ASSERT_TRUE(worker.WaitServing()) << "round " << round;
    const Answer answer = worker.Generate(GreedyRequest("round", Prompt(3, 100), 4));
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    worker.Signal(SIGTERM);
    const ProcessEnd end = worker.Wait();
    ASSERT_EQ(end.exit_code, 0) << "round " << round << ": " << end.errors;
  }
}

TEST_P(GpuGroupTest, KilledRankRestartsTheGroup) {
  WorkerProcess worker(Group());
  ASSERT_TRUE(worker.WaitServing());
  ExpectRecovery(worker, worker.RankPids().back());
}

TEST_P(GpuGroupTest, KilledLeaderRestartsTheGroup) {
  WorkerProcess worker(Group());
  ASSERT_TRUE(worker.WaitServing());
  ExpectRecovery(worker, worker.RankPids().at(0));
}

TEST_P(GpuGroupTest, HungRankIsNoticedAndReplaced) {
  WorkerProcess worker(Group({"--step-timeout=3"}));
  ASSERT_TRUE(worker.WaitServing());
  const std::vector<pid_t> ranks = worker.RankPids();
  RunningCall call(worker);
  ASSERT_EQ(kill(ranks.at(1), SIGSTOP), 0);
  EXPECT_EQ(call.ReadToTheEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  for (const pid_t rank : ranks) EXPECT_TRUE(Eventually([rank] { return IsGone(rank); }));
  ASSERT_TRUE(worker.WaitServing());
}

INSTANTIATE_TEST_SUITE_P(Ranks, GpuGroupTest,
                         ::testing::ValuesIn(kEmulated ? std::vector<int>{2}
                                                       : std::vector<int>{2, 4, 8}));

TEST(TooFewGpusTest, AreRefusedWithBothNumbers) {
  const ProcessEnd end = RunWorker({"--model=" + TinyCheckpoint(), "--device=cuda", "--tp-size=64",
                                    "--grpc-port=0", "--metrics-port=0"});
  EXPECT_EQ(end.exit_code, 2);
  EXPECT_THAT(end.errors, AllOf(HasSubstr("--tp-size 64"), HasSubstr("visible")));
  EXPECT_THAT(end.output, Not(HasSubstr("listening"))) << "before anything starts";
}

#ifdef SLUICE_EMULATED_GPUS

// The worker that tests start, and where it looks for its libraries.
void UseInstallation(const std::filesystem::path& folder) {
  setenv("SLUICE_TEST_WORKER", (folder / "bin/sluice-worker").c_str(), 1);
  setenv("LD_LIBRARY_PATH", (folder / "lib").c_str(), 1);
}

// What only the stand-in of NCCL can be told to do, in an environment that ends with the test. All
// sums go through it.
class EmulatedGpuGroupTest : public ::testing::Test {
 protected:
  ~EmulatedGpuGroupTest() override {
    unsetenv("SLUICE_FAKE_NCCL");
    UseInstallation(SLUICE_EMULATED_GPUS);
  }
  static void Order(const std::string& text) { setenv("SLUICE_FAKE_NCCL", text.c_str(), 1); }
};

// Ranks without a launcher that would kill them: the last resort is their own.
TEST_F(EmulatedGpuGroupTest, RankWhoseStepHearsNoAbortEndsByItself) {
  Order("deaf");
  WorkerProcess leader(Arguments({"--rank=0", "--all-reduce=nccl"}));
  auto rank = std::async(std::launch::async, [&] {
    return RunWorker(Arguments(
        {"--rank=1", "--leader=" + leader.address(), "--metrics-port=0", "--all-reduce=nccl"}));
  });
  ASSERT_TRUE(leader.WaitServing());
  RunningCall call(leader);
  leader.Signal(SIGKILL);
  EXPECT_EQ(rank.get().exit_code, 1);
}

TEST_F(EmulatedGpuGroupTest, LeaderWhoseStepHearsNoAbortEndsByItself) {
  Order("deaf,break=1:120");
  WorkerProcess leader(Arguments({"--rank=0", "--all-reduce=nccl"}));
  auto rank = std::async(std::launch::async, [&] {
    return RunWorker(Arguments(
        {"--rank=1", "--leader=" + leader.address(), "--metrics-port=0", "--all-reduce=nccl"}));
  });
  ASSERT_TRUE(leader.WaitServing());
  RunningCall call(leader);
  EXPECT_EQ(call.ReadToTheEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(leader.Wait().exit_code, 1);
  EXPECT_EQ(rank.get().exit_code, 1);
}

TEST_F(EmulatedGpuGroupTest, CollectiveThatFailsOnOneRankEndsTheGroup) {
  Order("break=1:120");
  WorkerProcess worker(Arguments({"--all-reduce=nccl"}));
  ASSERT_TRUE(worker.WaitServing());
  const std::vector<pid_t> ranks = worker.RankPids();
  RunningCall call(worker);
  EXPECT_EQ(call.ReadToTheEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  for (const pid_t rank : ranks) EXPECT_TRUE(Eventually([rank] { return IsGone(rank); }));
  ASSERT_TRUE(worker.WaitServing()) << "a new group";
  worker.Signal(SIGTERM);
  EXPECT_THAT(worker.Wait().errors,
              HasSubstr("rank 1 failed: INTERNAL: a collective failed: invalid usage"));
}

TEST_F(EmulatedGpuGroupTest, MissingNcclIsOneSentence) {
  namespace fs = std::filesystem;
  const fs::path other = fs::path(::testing::TempDir()) / "sluice-without-nccl";
  fs::remove_all(other);
  fs::create_directories(other / "bin");
  fs::create_directories(other / "lib");
  const fs::path whole = SLUICE_EMULATED_GPUS;
  fs::copy(whole / "bin/sluice-worker", other / "bin");
  fs::copy(whole / "lib/libsluice_cuda.so", other / "lib");
  UseInstallation(other);
  auto arguments = Arguments({"--grpc-port=0", "--metrics-port=0", "--max-model-len=1024"});
  const ProcessEnd end = RunWorker(arguments);
  if (end.errors.find("libnccl.so.2") == std::string::npos) GTEST_SKIP() << "NCCL is installed";
  EXPECT_EQ(end.exit_code, 2);
  EXPECT_THAT(end.errors, AllOf(HasSubstr("several ranks on GPUs need NCCL"),
                                HasSubstr((other / "lib/libnccl.so.2").string())));
  EXPECT_THAT(end.output, Not(HasSubstr("listening")));
  fs::remove_all(other);
}

#endif

}  // namespace
}  // namespace sluice::integration

int main(int argc, char** argv) {
#ifdef SLUICE_EMULATED_GPUS
  sluice::integration::UseInstallation(SLUICE_EMULATED_GPUS);
#endif
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
