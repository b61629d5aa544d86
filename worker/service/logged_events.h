// SPDX-License-Identifier: Apache-2.0
// The engine's events on their way to the metrics, with a log line for each request's end. Same
// threads as the engine's events.
#pragma once

#include <atomic>

#include "worker/engine/engine_events.h"

namespace sluice::worker {

class LoggedEvents final : public EngineEvents {
 public:
  explicit LoggedEvents(EngineEvents& next) : next_(next) {}

  // While quiet, requests are neither logged nor counted: the warm-up is nobody's.
  void set_quiet(bool quiet) { quiet_ = quiet; }

  void OnStep(const StepStats& stats) override { next_.OnStep(stats); }
  void OnIdle(const SchedulerLoad& load) override { next_.OnIdle(load); }
  void OnRequestDone(const RequestStats& stats) override;
  void OnRefused(const absl::Status& status) override { next_.OnRefused(status); }
  void OnBadLogits() override { next_.OnBadLogits(); }

 private:
  EngineEvents& next_;
  std::atomic<bool> quiet_{false};
};

}  // namespace sluice::worker
