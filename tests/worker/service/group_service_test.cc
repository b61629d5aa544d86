// SPDX-License-Identifier: Apache-2.0
// Leader and ranks over a real socket: who may join, plans and reports, losses, the clean end.
#include "worker/service/group_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>

#include "worker/service/leader_link.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using ::testing::HasSubstr;

class GroupServiceTest : public ::testing::Test {
 protected:
  GroupServiceTest() : group_(Options()) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&group_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~GroupServiceTest() override {
    group_.Fail(absl::CancelledError("the test ends"));
    server_->Shutdown();
  }

  GroupOptions Options() {
    GroupOptions options;
    options.tp_size = 3;
    options.checkpoint_digest = "digest";
    options.build_id = "build";
    options.accepted.set_collective_name("segment");
    options.accepted.set_collective_id(std::string("a\0b", 3));
    options.accepted.set_num_pages(17);
    options.on_change = [this] {
      const std::lock_guard lock(mutex_);
      ++changes_;
      changed_.notify_all();
    };
    return options;
  }

  static v1::JoinRequest Request(uint32_t rank) {
    v1::JoinRequest request;
    request.set_rank(rank);
    request.set_tp_size(3);
    request.set_checkpoint_digest("digest");
    request.set_build_id("build");
    request.set_device("cpu");
    request.set_all_reduce("auto");
    return request;
  }

  absl::StatusOr<std::unique_ptr<LeaderLink>> Join(const v1::JoinRequest& request) {
    return LeaderLink::Join(address_, request, std::chrono::seconds(30));
  }

  void JoinBoth() {
    for (uint32_t rank : {1u, 2u}) {
      auto link = Join(Request(rank));
      ASSERT_TRUE(link.ok()) << link.status();
      (*link)->Start([this] { ++losses_; });
      (*link)->SendReady(100 - static_cast<int>(rank));
      links_.push_back(std::move(*link));
    }
    ASSERT_TRUE(group_.WaitReady(minutes(1)).ok());
  }

  template <typename Condition>
  void WaitForChange(Condition condition) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, minutes(1), condition));
  }

  static StepPlan Plan(StepId step) {
    StepPlan plan;
    plan.step = step;
    plan.rows = {{0, {1, 2}, true}};
    return plan;
  }

  GroupService group_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::vector<std::unique_ptr<LeaderLink>> links_;
  std::atomic<int> losses_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  int changes_ = 0;
};

TEST_F(GroupServiceTest, RanksAreToldTheirSizesAndAwaited) {
  const auto link = Join(Request(1));
  ASSERT_TRUE(link.ok());
  EXPECT_EQ((*link)->accepted().num_pages(), 17u);
  EXPECT_EQ((*link)->accepted().collective_name(), "segment");
  EXPECT_EQ((*link)->accepted().collective_id(), std::string("a\0b", 3));
  const absl::Status joining = group_.WaitJoined(milliseconds(1));
  EXPECT_EQ(joining.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(joining.message()), HasSubstr("rank 2 to join"));
  const absl::Status waiting = group_.WaitReady(milliseconds(1));
  EXPECT_EQ(waiting.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(waiting.message()), HasSubstr("rank 1, 2 to load"));
  const auto other = Join(Request(2));
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(group_.WaitJoined(minutes(1)).ok());
}

TEST_F(GroupServiceTest, RefusesWhoDoesNotBelong) {
  struct Stranger {
    void (*change)(v1::JoinRequest&);
    const char* says;
  };
  const Stranger strangers[] = {
      {[](v1::JoinRequest& r) { r.set_checkpoint_digest("other"); }, "another checkpoint"},
      {[](v1::JoinRequest& r) { r.set_build_id("older"); }, "runs build older"},
      {[](v1::JoinRequest& r) { r.set_device("cuda"); }, "runs on device cuda, the leader on cpu"},
      {[](v1::JoinRequest& r) { r.set_all_reduce("nccl"); },
       "--all-reduce nccl, the leader with auto"},
      {[](v1::JoinRequest& r) { r.set_tp_size(2); }, "--tp-size 2"},
      {[](v1::JoinRequest& r) { r.set_rank(3); }, "rank 3"},
      {[](v1::JoinRequest& r) { r.set_rank(0); }, "rank 0"},
  };
  for (const Stranger& stranger : strangers) {
    v1::JoinRequest request = Request(1);
    stranger.change(request);
    const auto link = Join(request);
    ASSERT_FALSE(link.ok());
    EXPECT_THAT(std::string(link.status().message()), HasSubstr(stranger.says));
  }
  EXPECT_TRUE(group_.Health().ok()) << "a stranger does not harm the group";
  const auto first = Join(Request(1));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Join(Request(1)).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(GroupServiceTest, TheRankWithTheFewestPagesCounts) {
  JoinBoth();  // 99 and 98
  EXPECT_EQ(group_.LeastPages(120), 98);
  EXPECT_EQ(group_.LeastPages(98), 98);
  EXPECT_EQ(group_.LeastPages(17), 17);
}

TEST_F(GroupServiceTest, PlansGoToAllAndReportsComeBack) {
  JoinBoth();
  ASSERT_TRUE(group_.Send(Plan(1)).ok());
  ASSERT_TRUE(group_.Send(Plan(2)).ok());
  for (const auto& link : links_) {
    const auto plan = link->NextPlan();
    ASSERT_TRUE(plan.ok() && plan->has_value());
    EXPECT_EQ((*plan)->step, 1);
    EXPECT_THAT((*plan)->rows[0].ids, ::testing::ElementsAre(1, 2));
  }
  v1::StepReport report;
  report.set_step(1);
  EXPECT_TRUE(links_[0]->Report(report));
  report.set_step(2);
  EXPECT_TRUE(links_[0]->Report(report));
  EXPECT_EQ(group_.LastStepDoneByAll(), 0) << "rank 2 has not reported";
  report.set_step(1);
  EXPECT_TRUE(links_[1]->Report(report));
  WaitForChange([this] { return group_.LastStepDoneByAll() == 1; });
}

TEST_F(GroupServiceTest, LostRankFailsTheGroupAndTellsTheOthers) {
  JoinBoth();
  links_[0].reset();
  WaitForChange([this] { return !group_.Health().ok(); });
  EXPECT_THAT(std::string(group_.Health().message()), HasSubstr("rank 1 is gone"));
  EXPECT_FALSE(group_.Send(Plan(1)).ok());
  EXPECT_EQ(links_[1]->NextPlan().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(GroupServiceTest, LossOfTheLeaderIsSeenBeforeARankIsReady) {
  const auto link = Join(Request(1));
  ASSERT_TRUE(link.ok());
  (*link)->Start([this] {
    const std::lock_guard lock(mutex_);
    ++losses_;
    changed_.notify_all();
  });
  group_.Fail(absl::UnavailableError("rank 2 is gone"));
  WaitForChange([this] { return losses_ == 1; });
}

TEST_F(GroupServiceTest, FailedStepFailsTheGroup) {
  JoinBoth();
  v1::StepReport report;
  report.set_step(1);
  report.set_error("out of memory");
  links_[1]->Report(report);
  WaitForChange([this] { return !group_.Health().ok(); });
  EXPECT_THAT(std::string(group_.Health().message()), HasSubstr("rank 2 failed: out of memory"));
}

TEST_F(GroupServiceTest, StopIsAnEndWithoutLoss) {
  JoinBoth();
  ASSERT_TRUE(group_.Send(Plan(1)).ok());
  group_.SendStop();
  for (const auto& link : links_) {
    const auto plan = link->NextPlan();
    ASSERT_TRUE(plan.ok() && plan->has_value()) << "what was sent before still counts";
    const auto end = link->NextPlan();
    ASSERT_TRUE(end.ok());
    EXPECT_FALSE(end->has_value());
  }
  links_.clear();
  EXPECT_EQ(losses_, 0);
  EXPECT_TRUE(group_.Health().ok());
}

TEST_F(GroupServiceTest, UnreachableLeaderIsNamed) {
  const auto link = LeaderLink::Join("127.0.0.1:1", Request(1), milliseconds(10));
  EXPECT_EQ(link.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(link.status().message()), HasSubstr("127.0.0.1:1"));
}

}  // namespace
}  // namespace sluice::worker
