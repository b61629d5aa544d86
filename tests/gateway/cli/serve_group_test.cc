// SPDX-License-Identifier: Apache-2.0
// ServeGroup over servers that are shell scripts: the real ones are covered by tests/e2e.
#include "gateway/cli/serve_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/gateway/cli/canned_server.h"

namespace sluice::gateway {
namespace {

using ::sluice::testing::CannedServer;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(ParseListeningLineTest, ReadsAddressesByName) {
  EXPECT_THAT(ParseListeningLine("listening http=0.0.0.0:80 grpc=h:1 x"),
              UnorderedElementsAre(Pair("http", "0.0.0.0:80"), Pair("grpc", "h:1")));
  EXPECT_TRUE(ParseListeningLine("loading").empty());
}

// Without options of its own the gateway is started with --check alone.
constexpr char kCheckPasses[] = "[ \"$1\" = --check ] && exit 0\n";

class ServeGroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sigset_t set;
    sigemptyset(&set);
    for (int number : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, number);
    sigprocmask(SIG_BLOCK, &set, &old_mask_);
    signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    bin_dir_ = std::filesystem::path(::testing::TempDir()) /
               absl::StrCat("serve_group_", getpid(), "_",
                            ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(bin_dir_);
    options_.model = "model";
    options_.http = options_.grpc = options_.metrics = {0, true};
  }
  void TearDown() override {
    // Whatever signal is pending must not reach the next test.
    signalfd_siginfo info;
    while (read(signal_fd_, &info, sizeof(info)) > 0) {
    }
    close(signal_fd_);
    sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
    std::filesystem::remove_all(bin_dir_);
  }

  void WriteServer(const std::string& name, const std::string& script) {
    const auto path = bin_dir_ / name;
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    chmod(path.c_str(), 0755);
  }
  // Says it listens, then notes how it is stopped.
  void WriteGoodServers(const std::string& http_address) {
    WriteServer("sluice-worker", Serving("worker", "grpc=127.0.0.1:1"));
    WriteServer("sluice-gateway",
                std::string(kCheckPasses) + Serving("gateway", "http=" + http_address));
  }
  std::string Serving(const std::string& name, const std::string& addresses) const {
    return absl::StrCat("trap 'echo ", name, " >> ", Stops(), "; exit 0' TERM\necho \"$@\" > ",
                        (bin_dir_ / name).string(), ".args\necho 'listening ", addresses,
                        "'\nwhile :; do sleep 0.01; done");
  }
  std::string Stops() const { return (bin_dir_ / "stops").string(); }
  static std::string ReadAll(const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  ServeGroup Group() { return ServeGroup(options_, Terminal(), bin_dir_.string(), signal_fd_); }

  std::filesystem::path bin_dir_;
  ServeOptions options_;
  int signal_fd_ = -1;
  sigset_t old_mask_;
};

constexpr char kReady[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
constexpr char kNotReady[] = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";

TEST_F(ServeGroupTest, StartsWaitsForReadinessAndStopsTheGatewayFirst) {
  CannedServer readiness({kNotReady, kReady});
  const std::string address = readiness.url().substr(7);
  WriteGoodServers(address);
  options_.worker_args = {"--model=model"};
  ServeGroup group = Group();
  ASSERT_TRUE(group.Start().ok());
  EXPECT_EQ(readiness.requests().size(), 2u);
  EXPECT_THAT(ReadAll((bin_dir_ / "worker.args").string()), HasSubstr("--model=model"));
  EXPECT_THAT(ReadAll((bin_dir_ / "gateway.args").string()),
              HasSubstr("--workers=127.0.0.1:1 --http-port=0"));
  kill(getpid(), SIGTERM);
  EXPECT_TRUE(group.Supervise().ok());
  EXPECT_TRUE(group.Stop().ok());
  EXPECT_EQ(ReadAll(Stops()), "gateway\nworker\n");
}

TEST_F(ServeGroupTest, AWorkerThatRefusesTheModelEndsTheStart) {
  WriteServer("sluice-worker", "exit 1");
  WriteServer("sluice-gateway",
              std::string(kCheckPasses) + "touch " + (bin_dir_ / "started").string());
  ServeGroup group = Group();
  const absl::Status status = group.Start();
  EXPECT_EQ(status.message(), "sluice-worker exited with status 1");
  EXPECT_TRUE(group.Stop().ok());
  EXPECT_FALSE(std::filesystem::exists(bin_dir_ / "started"));
}

TEST_F(ServeGroupTest, AFolderThatTheGatewayRefusesStartsNoWorker) {
  WriteServer("sluice-worker", "touch " + (bin_dir_ / "started").string());
  WriteServer("sluice-gateway", "exit 1");
  ServeGroup group = Group();
  EXPECT_EQ(group.Start().message(), "sluice-gateway --check exited with status 1");
  EXPECT_TRUE(group.Stop().ok());
  EXPECT_FALSE(std::filesystem::exists(bin_dir_ / "started"));
}

TEST_F(ServeGroupTest, AServerThatDiesEndsTheSupervision) {
  CannedServer readiness({kReady});
  WriteGoodServers(readiness.url().substr(7));
  WriteServer("sluice-worker",
              "echo 'listening grpc=127.0.0.1:1'; read x < " + Stops() + "; kill -9 $$");
  ASSERT_EQ(mkfifo(Stops().c_str(), 0600), 0);
  ServeGroup group = Group();
  ASSERT_TRUE(group.Start().ok());
  std::ofstream(Stops()) << "now\n";
  EXPECT_THAT(std::string(group.Supervise().message()),
              HasSubstr("sluice-worker was killed by signal 9"));
  std::filesystem::remove(Stops());
  EXPECT_TRUE(group.Stop().ok());
}

TEST_F(ServeGroupTest, ASignalDuringTheStartEndsIt) {
  WriteServer("sluice-gateway", kCheckPasses);
  WriteServer("sluice-worker", "while :; do sleep 0.01; done");
  kill(getpid(), SIGINT);
  ServeGroup group = Group();
  EXPECT_TRUE(absl::IsCancelled(group.Start()));
}

TEST_F(ServeGroupTest, ASecondSignalDoesNotWait) {
  WriteServer("sluice-gateway", kCheckPasses);
  // The script sends both signals itself: the first when it no longer heeds SIGTERM, the second
  // when it gets one.
  WriteServer("sluice-worker",
              "trap 'kill -TERM $PPID' TERM\nkill -INT $PPID\nwhile :; do sleep 0.01; done");
  ServeGroup group = Group();
  EXPECT_TRUE(absl::IsCancelled(group.Start()));
  EXPECT_THAT(std::string(group.Stop().message()), HasSubstr("killed by signal 9"));
}

}  // namespace
}  // namespace sluice::gateway
