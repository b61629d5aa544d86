// SPDX-License-Identifier: Apache-2.0
// A real sluice-worker (this build's, or the one that SLUICE_TEST_WORKER names), started as a
// child, with gRPC stubs and the views that tests need: its output, the processes below it, its
// metrics. Every wait is bounded generously and fails the test; nothing sleeps for luck.
#pragma once

#include <grpcpp/channel.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sluice/worker/v1/engine.grpc.pb.h"

namespace sluice::integration {

namespace v1 = worker::v1;

// Polls until the condition holds; false after a minute and a half.
bool Eventually(const std::function<bool()>& condition);

struct ProcessEnd {
  int exit_code = -1;  // 128 plus the signal when one ended it
  std::string output;
  std::string errors;
};

// Runs it to its end.
ProcessEnd RunWorker(const std::vector<std::string>& arguments);

struct Answer {
  absl::Status status;
  std::vector<int> ids;                          // of a single choice
  std::map<uint32_t, std::vector<int>> choices;  // of each
  v1::FinishReason finish = v1::FINISH_REASON_UNSPECIFIED;
  v1::Usage usage;
};

class WorkerProcess {
 public:
  // Adds --grpc-port=0 --metrics-port=0 and small defaults. Waits until it says where it listens.
  explicit WorkerProcess(std::vector<std::string> arguments);
  // Kills it and everything below.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // Until health says SERVING.
  bool WaitServing();
  bool IsServing() const;

  std::unique_ptr<v1::Engine::Stub> NewStub() const { return v1::Engine::NewStub(channel_); }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  Answer Generate(const v1::GenerateRequest& request) const;

  // The metric's value (name with labels, as exposed); nothing when it is not there.
  std::optional<double> Metric(const std::string& name) const;

  pid_t pid() const { return pid_; }
  // Of the ranks, in order of their number.
  std::vector<pid_t> RankPids() const;
  void Signal(int signal_number) const;
  // Waits for its end.
  ProcessEnd Wait();
  const std::string& address() const { return grpc_address_; }

 private:
  pid_t pid_ = -1;
  int output_fd_ = -1;
  std::string error_path_;
  std::string output_;
  std::string grpc_address_;
  int metrics_port_ = 0;
  std::shared_ptr<grpc::Channel> channel_;
  bool reaped_ = false;
};

// No longer running (a zombie does not run).
bool IsGone(pid_t pid);

// Greedy, through end-of-sequence ids, of this many tokens.
v1::GenerateRequest GreedyRequest(const std::string& id, const std::vector<int>& prompt,
                                  int max_tokens);
// Ids that differ with the seed and never leave the tiny vocabulary's bytes.
std::vector<int> Prompt(int seed, int length);

}  // namespace sluice::integration
