// SPDX-License-Identifier: Apache-2.0
// What the engine tells about itself, in plain numbers: the metrics of the process implement it,
// and tests count with it. Called on the engine thread, except OnRefused (any thread); must not
// block.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "worker/scheduler/scheduler.h"

namespace sluice::worker {

struct StepStats {
  std::chrono::nanoseconds duration{0};
  std::optional<std::chrono::nanoseconds> collective_duration;  // StepResult's
  std::chrono::nanoseconds idle_duration{0};                    // StepResult's
  int rows = 0;
  int prefill_tokens = 0;
  int decode_tokens = 0;
  SchedulerLoad load{};  // when the step was planned
};

struct RequestStats {
  std::string id;
  // OK, or what the call ended with.
  absl::Status status;
  bool cancelled = false;  // a choice ended through Cancel or the client's going away
  bool deadline = false;   // because its time was up
  int prompt_tokens = 0;
  int completion_tokens = 0;                              // over all choices, as in usage
  int dropped_tokens = 0;                                 // generated beyond a stop string
  int cached_tokens = 0;                                  // of the prompt, as in usage
  std::optional<std::chrono::nanoseconds> queue_time{};   // arrival to first step
  std::optional<std::chrono::nanoseconds> first_token{};  // arrival to first id
  std::chrono::nanoseconds duration{0};
};

class EngineEvents {
 public:
  virtual ~EngineEvents() = default;
  virtual void OnStep(const StepStats& stats) = 0;
  // When the engine runs out of work: the gauges' resting values; again when ranks that report late
  // have given pages back since.
  virtual void OnIdle(const SchedulerLoad& load) = 0;
  virtual void OnRequestDone(const RequestStats& stats) = 0;
  // A request that was never accepted.
  virtual void OnRefused(const absl::Status& status) = 0;
  virtual void OnBadLogits() = 0;
};

}  // namespace sluice::worker
