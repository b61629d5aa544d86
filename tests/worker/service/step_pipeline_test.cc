// SPDX-License-Identifier: Apache-2.0
#include "worker/service/step_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <vector>

namespace sluice::worker {
namespace {

using ::testing::ElementsAre;

// Steps end when the test says so.
class SteppedExecutor final : public Executor {
 public:
  int num_pages() const override { return 1; }
  absl::Status Submit(StepPlan plan) override {
    const std::lock_guard lock(mutex_);
    submitted_.push_back(plan.step);
    changed_.notify_all();
    return refuse_ ? absl::InternalError("refused") : absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect(StepId step) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ >= step; });
    if (step == failing_) return absl::InternalError("the step failed");
    StepResult result;
    result.step = step;
    return result;
  }

  void End(StepId step) {
    const std::lock_guard lock(mutex_);
    ended_ = step;
    changed_.notify_all();
  }
  void AwaitSubmitted(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return submitted_.size() >= count; });
  }
  std::vector<StepId> submitted() {
    const std::lock_guard lock(mutex_);
    return submitted_;
  }
  void set_refuse() { refuse_ = true; }
  void set_failing(StepId step) { failing_ = step; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StepId> submitted_;
  StepId ended_ = 0;
  StepId failing_ = -1;
  bool refuse_ = false;
};

StepPlan Plan(StepId step, bool drafts = false) {
  StepPlan plan;
  plan.step = step;
  plan.rows = {{.row = 0, .sample = true}};
  if (drafts) plan.rows[0].drafts = {7};
  return plan;
}

class StepPipelineTest : public ::testing::Test {
 protected:
  StepPipeline::OnDone Record(bool goes_on = true) {
    return [this, goes_on](StepId step, const absl::StatusOr<StepResult>& result) {
      const std::lock_guard lock(mutex_);
      done_.push_back(step);
      statuses_.push_back(result.status());
      return goes_on;
    };
  }
  std::vector<StepId> done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }

  SteppedExecutor executor_;
  std::mutex mutex_;
  std::vector<StepId> done_;
  std::vector<absl::Status> statuses_;
};

TEST_F(StepPipelineTest, TheNextPlanIsSubmittedWhileOneRunsAndTheThirdWaits) {
  StepPipeline pipeline(&executor_, Record());
  EXPECT_TRUE(pipeline.Run(Plan(1)).ok());
  EXPECT_TRUE(pipeline.Run(Plan(2)).ok());
  EXPECT_THAT(executor_.submitted(), ElementsAre(1, 2));
  std::thread third([&] { EXPECT_TRUE(pipeline.Run(Plan(3)).ok()); });
  EXPECT_THAT(executor_.submitted(), ElementsAre(1, 2)) << "two are in flight";
  executor_.End(1);
  third.join();
  EXPECT_THAT(executor_.submitted(), ElementsAre(1, 2, 3));
  executor_.End(3);
}

TEST_F(StepPipelineTest, APlanBehindDraftsWaitsForTheirResult) {
  StepPipeline pipeline(&executor_, Record());
  EXPECT_TRUE(pipeline.Run(Plan(1, /*drafts=*/true)).ok());
  std::thread second([&] {
    EXPECT_TRUE(pipeline.Run(Plan(2)).ok());
    EXPECT_THAT(done(), ElementsAre(1)) << "submitted only then";
  });
  executor_.AwaitSubmitted(1);
  executor_.End(1);
  second.join();
  executor_.End(2);
}

TEST_F(StepPipelineTest, EndingWaitsForWhatIsInFlight) {
  {
    StepPipeline pipeline(&executor_, Record());
    EXPECT_TRUE(pipeline.Run(Plan(1)).ok());
    EXPECT_TRUE(pipeline.Run(Plan(2)).ok());
    executor_.End(2);
  }
  EXPECT_THAT(done(), ElementsAre(1, 2));
}

TEST_F(StepPipelineTest, AFailedStepIsReportedAndEndsThePipeline) {
  executor_.set_failing(1);
  StepPipeline pipeline(&executor_, Record());
  EXPECT_TRUE(pipeline.Run(Plan(1)).ok());
  EXPECT_TRUE(pipeline.Run(Plan(2)).ok());
  executor_.End(2);
  EXPECT_EQ(pipeline.Run(Plan(3)).message(), "the step failed");
  EXPECT_THAT(done(), ElementsAre(1));
  EXPECT_FALSE(statuses_.at(0).ok());
}

TEST_F(StepPipelineTest, ARefusedPlanIsReported) {
  executor_.set_refuse();
  StepPipeline pipeline(&executor_, Record());
  EXPECT_EQ(pipeline.Run(Plan(1)).message(), "refused");
  EXPECT_THAT(done(), ElementsAre(1));
}

TEST_F(StepPipelineTest, NobodyToReportToEndsThePipeline) {
  StepPipeline pipeline(&executor_, Record(/*goes_on=*/false));
  EXPECT_TRUE(pipeline.Run(Plan(1)).ok());
  executor_.End(1);
  absl::Status status;
  for (StepId step = 2; status.ok(); ++step) {
    status = pipeline.Run(Plan(step));
    executor_.End(step);
  }
  EXPECT_TRUE(absl::IsUnavailable(status));
}

}  // namespace
}  // namespace sluice::worker
