// SPDX-License-Identifier: Apache-2.0
#include "worker/service/rank.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/service/executor_factory.h"
#include "worker/service/leader_link.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kConnectTimeout{60'000};
constexpr milliseconds kTick{1000};
// Beyond the leader's drain: it needs a moment for its own end.
constexpr milliseconds kStopGrace{5000};

absl::Status RunPlans(LeaderLink& link, Executor& executor, WorkerMetrics& metrics) {
  for (;;) {
    SLUICE_ASSIGN_OR_RETURN(std::optional<StepPlan> plan, link.NextPlan());
    if (!plan) return absl::OkStatus();
    const StepId step = plan->step;
    v1::StepReport report;
    report.set_step(step);
    absl::Status status = executor.Submit(*std::move(plan));
    if (status.ok()) {
      const absl::StatusOr<StepResult> result = executor.Collect(step);
      status = result.status();
      if (result.ok()) {
        report.set_duration_us(static_cast<uint64_t>(result->duration.count() / 1000));
        metrics.OnRankStep(result->duration, result->collective_duration);
      }
    }
    if (!status.ok()) report.set_error(status.ToString());
    if (!link.Report(report)) return absl::UnavailableError("the leader is gone");
    SLUICE_RETURN_IF_ERROR(status);
  }
}

absl::Status JoinAndRun(const WorkerOptions& options, const ServedModel& model,
                        WorkerMetrics& metrics) {
  const auto start = std::chrono::steady_clock::now();
  v1::JoinRequest request;
  request.set_rank(static_cast<uint32_t>(options.rank));
  request.set_tp_size(static_cast<uint32_t>(options.tp_size));
  request.set_checkpoint_digest(model.folder->digest());
  request.set_build_id(BuildId());
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<LeaderLink> link,
                          LeaderLink::Join(options.leader, request, kConnectTimeout));
  const v1::JoinAccepted& accepted = link->accepted();
  // Sizes are the leader's to choose: a rank's own flags do not matter.
  WorkerOptions own = options;
  own.max_num_seqs = static_cast<int>(accepted.max_rows());
  own.max_prefill_tokens = static_cast<int>(accepted.max_batched_tokens());
  ServedModel sized = model;
  sized.num_pages = static_cast<int>(accepted.num_pages());
  sized.limits.max_model_len = static_cast<int>(accepted.max_model_len());
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> communicator,
                          MakeRankCommunicator(own, accepted.collective_name()));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor,
                          MakeExecutor(own, sized, own.rank, communicator.get()));
  metrics.SetStartupTime("load", std::chrono::steady_clock::now() - start);
  link->Start([&communicator] { communicator->Abort(); });
  metrics.SetReady(true);
  const absl::Status status = RunPlans(*link, *executor, metrics);
  metrics.SetReady(false);
  // A peer may wait in a collective for this rank; and the executor must not wait for the peers.
  communicator->Abort();
  return status;
}

}  // namespace

int RunRank(const WorkerOptions& options, const ServedModel& model, WorkerMetrics& metrics,
            WakeUp& wake_up) {
  std::thread([&] {
    const absl::Status status = JoinAndRun(options, model, metrics);
    if (!status.ok()) spdlog::critical("rank {} ends: {}", options.rank, status.ToString());
    std::fflush(nullptr);
    const bool refused = absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status);
    std::_Exit(status.ok() ? kExitOk : refused ? kExitConfiguration : kExitFailure);
  }).detach();
  std::optional<std::chrono::steady_clock::time_point> until;
  for (;;) {
    const std::optional<int> woken = wake_up.Wait(kTick);
    const auto now = std::chrono::steady_clock::now();
    if (woken.value_or(0) != 0 && !until) until = now + options.drain_timeout + kStopGrace;
    if (until && now >= *until) {
      spdlog::error("the leader did not say stop in time");
      return kExitFailure;
    }
  }
}

}  // namespace sluice::worker
