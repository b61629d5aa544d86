// SPDX-License-Identifier: Apache-2.0
// LeaderLink: a rank's end of its Join stream. A thread of its own reads plans into a queue, so
// that the leader's going away is seen while a step runs; the rank loop takes plans and writes
// reports.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sluice/worker/v1/group.grpc.pb.h"
#include "worker/base/step_plan.h"

namespace sluice::worker {

class LeaderLink {
 public:
  // Dials the leader (waiting up to connect_timeout for it to listen), joins, and returns what it
  // was told. Fails with the leader's reason when it refuses.
  static absl::StatusOr<std::unique_ptr<LeaderLink>> Join(
      const std::string& leader, const v1::JoinRequest& request,
      std::chrono::milliseconds connect_timeout);
  ~LeaderLink();
  LeaderLink(const LeaderLink&) = delete;
  LeaderLink& operator=(const LeaderLink&) = delete;

  const v1::JoinAccepted& accepted() const { return accepted_; }

  // Starts reading. on_lost: called on the reading thread when the leader is gone without having
  // said Stop.
  void Start(std::function<void()> on_lost);

  // Tells the leader that this rank can run, and how many KV pages it has.
  void SendReady(int num_pages);

  // The next plan; nothing after a Stop; an error when the leader is gone. Blocks.
  absl::StatusOr<std::optional<StepPlan>> NextPlan();

  // False: the leader is gone.
  bool Report(const v1::StepReport& report);

 private:
  LeaderLink() = default;
  void ReadPlans(const std::function<void()>& on_lost);

  grpc::ClientContext context_;
  std::unique_ptr<v1::Group::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::RankMessage, v1::LeaderMessage>> stream_;
  v1::JoinAccepted accepted_;
  std::thread reader_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StepPlan> plans_;
  bool stopped_ = false;  // the leader said so
  bool lost_ = false;
};

}  // namespace sluice::worker
