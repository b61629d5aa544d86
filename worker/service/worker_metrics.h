// SPDX-License-Identifier: Apache-2.0
// What a worker process counts besides the engine's own events. Implemented over Prometheus in
// worker/metrics.cc, the only place that knows it. Thread safe; never blocks.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "worker/engine/engine_events.h"

namespace sluice::worker {

class WorkerMetrics : public EngineEvents {
 public:
  // Seconds that one phase of the start took: "load", "join", "warmup", "total".
  virtual void SetStartupTime(const std::string& phase, std::chrono::nanoseconds time) = 0;
  // The leader's health, as the health service says it.
  virtual void SetReady(bool ready) = 0;
  // A step of a rank above 0.
  virtual void OnRankStep(std::chrono::nanoseconds duration,
                          std::optional<std::chrono::nanoseconds> collective) = 0;
};

}  // namespace sluice::worker
