// SPDX-License-Identifier: Apache-2.0
#include "worker/service/step_pipeline.h"

#include <algorithm>
#include <utility>

namespace sluice::worker {
namespace {

constexpr size_t kMaxInFlight = 2;  // what an Executor takes

bool HasDrafts(const StepPlan& plan) {
  return std::any_of(plan.rows.begin(), plan.rows.end(),
                     [](const RowStep& row) { return !row.drafts.empty(); });
}

}  // namespace

StepPipeline::StepPipeline(Executor* executor, OnDone on_done)
    : executor_(*executor), on_done_(std::move(on_done)), collector_([this] { Collect(); }) {}

StepPipeline::~StepPipeline() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  collector_.join();
}

absl::Status StepPipeline::Run(StepPlan plan) {
  const StepId step = plan.step;
  const bool has_drafts = HasDrafts(plan);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] {
      return !status_.ok() || in_flight_.size() < (awaits_result_ ? 1 : kMaxInFlight);
    });
    if (!status_.ok()) return status_;
  }
  // Only this thread submits, so room found is room kept.
  absl::Status submitted = executor_.Submit(std::move(plan));
  if (!submitted.ok()) {
    on_done_(step, submitted);
    return submitted;
  }
  {
    const std::lock_guard lock(mutex_);
    in_flight_.push_back(step);
    awaits_result_ = has_drafts;
  }
  changed_.notify_all();
  return absl::OkStatus();
}

void StepPipeline::Collect() {
  for (;;) {
    StepId step = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !in_flight_.empty(); });
      if (in_flight_.empty()) return;
      step = in_flight_.front();
    }
    const absl::StatusOr<StepResult> result = executor_.Collect(step);
    const bool goes_on = on_done_(step, result);
    {
      const std::lock_guard lock(mutex_);
      in_flight_.pop_front();
      status_ = result.status();
      if (status_.ok() && !goes_on) status_ = absl::UnavailableError("the leader is gone");
    }
    changed_.notify_all();
    if (!result.ok() || !goes_on) return;
  }
}

}  // namespace sluice::worker
