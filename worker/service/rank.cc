// SPDX-License-Identifier: Apache-2.0
#include "worker/service/rank.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/service/executor_factory.h"
#include "worker/service/leader_link.h"
#include "worker/service/step_pipeline.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kConnectTimeout{60'000};
constexpr milliseconds kTick{1000};
// Beyond the leader's drain: it needs a moment for its own end.
constexpr milliseconds kStopGrace{5000};
// What a rank gets to end by itself once the leader is gone: its step may wait on a device that
// does not hear the abort.
constexpr milliseconds kAbortGrace{1000};

// What a rank does, on a thread of its own. Never destroyed: the process ends with it, whatever it
// waits for, and destructors would wait for steps that may not end.
class Rank {
 public:
  // on_lost: called when the leader is gone without having said Stop, after the collectives were
  // aborted.
  Rank(const WorkerOptions& options, const ServedModel& model, WorkerMetrics& metrics,
       std::function<void()> on_lost)
      : options_(options), model_(model), metrics_(metrics), on_lost_(std::move(on_lost)) {}

  absl::Status Run();
  // Whether an error of Run came before there was an executor, and would come again.
  bool IsRefused(const absl::Status& status) const {
    return executor_ == nullptr && IsRefusal(status);
  }

 private:
  absl::Status Join();
  absl::Status Load();
  absl::Status RunPlans();

  WorkerOptions options_;  // the leader's sizes, once it has said them
  ServedModel model_;      // likewise
  WorkerMetrics& metrics_;
  const std::function<void()> on_lost_;
  const steady_clock::time_point start_ = steady_clock::now();
  std::unique_ptr<ExecutorFactory> factory_;
  std::unique_ptr<LeaderLink> link_;
  std::unique_ptr<Executor> executor_;
};

absl::Status Rank::Run() {
  SLUICE_RETURN_IF_ERROR(Join());
  absl::Status status = Load();
  if (status.ok()) {
    metrics_.SetReady(true);
    status = RunPlans();
    metrics_.SetReady(false);
  }
  // A peer may wait in a collective for this rank.
  if (!status.ok()) factory_->Abort();
  return status;
}

absl::Status Rank::Join() {
  v1::JoinRequest request;
  request.set_rank(static_cast<uint32_t>(options_.rank));
  request.set_tp_size(static_cast<uint32_t>(options_.tp_size));
  request.set_checkpoint_digest(model_.folder->digest());
  request.set_build_id(BuildId());
  request.set_device(DeviceName(options_.device));
  request.set_all_reduce(AllReduceModeName(options_.all_reduce));
  SLUICE_ASSIGN_OR_RETURN(factory_, ExecutorFactory::Make(options_));
  SLUICE_ASSIGN_OR_RETURN(link_, LeaderLink::Join(options_.leader, request, kConnectTimeout));
  const v1::JoinAccepted& accepted = link_->accepted();
  // Sizes are the leader's to choose: a rank's own flags do not matter.
  options_.max_num_seqs = static_cast<int>(accepted.max_rows());
  options_.max_prefill_tokens = static_cast<int>(accepted.max_batched_tokens());
  options_.speculative_tokens = static_cast<int>(accepted.speculative_tokens());
  options_.speculation_max_rows = static_cast<int>(accepted.speculation_max_rows());
  model_.num_pages = static_cast<int>(accepted.num_pages());
  model_.limits.max_model_len = static_cast<int>(accepted.max_model_len());
  return factory_->JoinGroup(accepted);
}

absl::Status Rank::Load() {
  // From here on, since loading may wait for the peers.
  link_->Start([this] {
    factory_->Abort();
    on_lost_();
  });
  SLUICE_ASSIGN_OR_RETURN(executor_, factory_->MakeExecutor(options_, model_));
  metrics_.SetStartupTime("load", steady_clock::now() - start_);
  link_->SendReady(executor_->num_pages());
  return absl::OkStatus();
}

absl::Status Rank::RunPlans() {
  StepPipeline pipeline(executor_.get(), [this](StepId step, const auto& result) {
    v1::StepReport report;
    report.set_step(step);
    if (result.ok()) {
      report.set_duration_us(static_cast<uint64_t>(result->duration.count() / 1000));
      metrics_.OnRankStep(result->duration, result->collective_duration);
    } else {
      report.set_error(result.status().ToString());
    }
    return link_->Report(report);
  });
  for (;;) {
    SLUICE_ASSIGN_OR_RETURN(std::optional<StepPlan> plan, link_->NextPlan());
    if (!plan) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(pipeline.Run(*std::move(plan)));
  }
}

[[noreturn]] void Exit(int code) {
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

int RunRank(const WorkerOptions& options, const ServedModel& model, WorkerMetrics& metrics,
            WakeUp& wake_up) {
  std::atomic<bool> lost{false};
  auto* const rank = new Rank(options, model, metrics, [&lost, &wake_up] {
    lost.store(true);
    wake_up.Notify();
  });
  std::thread([&options, rank] {
    const absl::Status status = rank->Run();
    if (!status.ok()) spdlog::critical("rank {} ends: {}", options.rank, status.ToString());
    Exit(status.ok() ? kExitOk : rank->IsRefused(status) ? kExitConfiguration : kExitFailure);
  }).detach();
  steady_clock::time_point stop_until = steady_clock::time_point::max();
  steady_clock::time_point lost_until = steady_clock::time_point::max();
  for (;;) {
    const auto until = std::min(stop_until, lost_until);
    const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now());
    const std::optional<int> woken = wake_up.Wait(std::clamp(left, milliseconds(0), kTick));
    const auto now = steady_clock::now();
    if (woken.value_or(0) != 0) {
      stop_until = std::min(stop_until, now + options.drain_timeout + kStopGrace);
    }
    if (lost.load()) lost_until = std::min(lost_until, now + kAbortGrace);
    if (now >= stop_until) spdlog::error("the leader did not say stop in time");
    if (now >= lost_until) spdlog::error("the step did not end after the leader was gone");
    if (now >= std::min(stop_until, lost_until)) Exit(kExitFailure);
  }
}

}  // namespace sluice::worker
