// SPDX-License-Identifier: Apache-2.0
// StepPipeline: runs the plans of a rank that the leader steers, overlapped as the leader's own
// steps are: the next plan is submitted while one runs, so that no device waits for a peer that is
// still about to hear of a finished step. A plan behind one with drafts waits for its result, for
// the executor places it by the drafts that held.
//
// Run is called by the thread that reads plans; results are collected on a thread of the pipeline,
// which calls on_done in the order of the steps.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/base/ids.h"
#include "worker/base/step_plan.h"
#include "worker/executor/executor.h"

namespace sluice::worker {

class StepPipeline {
 public:
  // A step has run, or failed; false ends the pipeline: nobody hears of further steps.
  using OnDone = std::function<bool(StepId step, const absl::StatusOr<StepResult>& result)>;

  // executor must outlive the pipeline.
  StepPipeline(Executor* executor, OnDone on_done);
  // Waits for the steps in flight.
  ~StepPipeline();
  StepPipeline(const StepPipeline&) = delete;
  StepPipeline& operator=(const StepPipeline&) = delete;

  // Submits the plan as soon as the executor may take it. The error of an earlier step, or of this
  // submission, which on_done has heard of then.
  absl::Status Run(StepPlan plan);

 private:
  void Collect();

  Executor& executor_;
  const OnDone on_done_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StepId> in_flight_;  // guarded by mutex_, as all below
  bool awaits_result_ = false;    // of the step submitted last
  bool stopping_ = false;
  absl::Status status_;  // final once it is set
  std::thread collector_;
};

}  // namespace sluice::worker
