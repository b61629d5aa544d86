// SPDX-License-Identifier: Apache-2.0
// GroupService: the leader's end of the Join streams, and so the RankGroup that the engine sends
// plans to. Each rank's stream has a thread of its own (gRPC's synchronous API): it reads Ready and
// reports; plans are written by the engine thread. A stream that breaks, or a report that carries
// an error, fails the group for good.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "sluice/worker/v1/group.grpc.pb.h"
#include "worker/engine/rank_group.h"

namespace sluice::worker {

struct GroupOptions {
  int tp_size = 1;
  std::string checkpoint_digest;
  std::string build_id;
  std::string device = "cpu";
  std::string all_reduce = "auto";
  v1::JoinAccepted accepted;  // what every rank is told
  // Called after every report and every loss, on the streams' threads.
  std::function<void()> on_change{};
};

class GroupService final : public v1::Group::Service, public RankGroup {
 public:
  explicit GroupService(GroupOptions options);

  grpc::Status Join(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<v1::LeaderMessage, v1::RankMessage>* stream) override;

  // Wait until every other rank has joined; has loaded as well. OK, DEADLINE_EXCEEDED naming who is
  // missing, or why the group failed.
  absl::Status WaitJoined(std::chrono::nanoseconds timeout);
  absl::Status WaitReady(std::chrono::nanoseconds timeout);
  // The least KV pages of the leader's own and the other ranks'. REQUIRES: WaitReady was OK.
  int LeastPages(int own_pages) const;

  // RankGroup.
  absl::Status Send(const StepPlan& plan) override;
  StepId LastStepDoneByAll() const override;
  absl::Status Health() const override;

  // Fails the group: streams end, Health says so. The first reason stays.
  void Fail(const absl::Status& reason);
  // The group ends well: tells the ranks to stop; their leaving is no failure any more.
  void SendStop();

 private:
  using Stream = grpc::ServerReaderWriter<v1::LeaderMessage, v1::RankMessage>;
  struct Rank {
    Stream* stream = nullptr;  // while joined
    grpc::ServerContext* context = nullptr;
    bool joined = false;
    bool ready = false;
    int num_pages = 0;  // once ready
    StepId last_step = 0;
  };

  absl::Status Accept(const v1::RankMessage& first, grpc::ServerContext* context, Stream* stream);
  // Reads until the stream ends; why it ended.
  absl::Status ReadReports(uint32_t rank, Stream* stream);
  bool WriteToAll(const v1::LeaderMessage& message);
  // The wait for a flag of every rank's.
  absl::Status WaitAll(bool Rank::*flag, absl::string_view what, std::chrono::nanoseconds timeout);

  const GroupOptions options_;
  // Writers hold it: a stream must not end while it is written to. Taken before mutex_.
  std::mutex write_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Rank> ranks_;  // by rank; the leader's own entry stays unused
  absl::Status health_;
  bool stopping_ = false;
};

}  // namespace sluice::worker
