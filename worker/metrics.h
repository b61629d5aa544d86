// SPDX-License-Identifier: Apache-2.0
// The worker's Prometheus metrics and the port that serves them. docs/operations.md lists the
// names. Owned by main; the engine thread and others write, the exposer's thread reads.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/service/worker_metrics.h"

namespace sluice::worker {

class Metrics final : public WorkerMetrics {
 public:
  // Listens on host:port (0: any free port). FAILED_PRECONDITION when that is taken.
  static absl::StatusOr<std::unique_ptr<Metrics>> Listen(const std::string& host, int port);
  ~Metrics() override;

  // host:port as bound.
  const std::string& address() const;

  void SetStartupTime(const std::string& phase, std::chrono::nanoseconds time) override;
  void SetReady(bool ready) override;
  void OnRankStep(std::chrono::nanoseconds duration,
                  std::optional<std::chrono::nanoseconds> collective) override;
  void OnStep(const StepStats& stats) override;
  void OnIdle(const SchedulerLoad& load) override;
  void OnRequestDone(const RequestStats& stats) override;
  void OnRefused(const absl::Status& status) override;
  void OnBadLogits() override;

 private:
  struct Families;
  explicit Metrics(std::unique_ptr<Families> families);
  void SetLoad(const SchedulerLoad& load);
  const std::unique_ptr<Families> families_;
};

}  // namespace sluice::worker
