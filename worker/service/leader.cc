// SPDX-License-Identifier: Apache-2.0
#include "worker/service/leader.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/wire/listening_port.h"
#include "proto/wire/status_macros.h"
#include "worker/engine/engine.h"
#include "worker/service/engine_service.h"
#include "worker/service/executor_factory.h"
#include "worker/service/group_service.h"
#include "worker/service/logged_events.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kServiceName[] = "sluice.worker.v1.Engine";
// How often the main thread looks for a hung step.
constexpr milliseconds kTick{200};
// What a broken group's threads get to end their requests before the process ends anyway.
constexpr milliseconds kAbortGrace{1000};
constexpr seconds kJoinReportInterval{10};
constexpr milliseconds kShutdownGrace{2000};

// Waits for the one status of the request that proves that a step runs on every rank.
class WarmupSink final : public TokenSink {
 public:
  void OnChunk(ChoiceChunk) override {}
  void OnDone(const absl::Status& status) override {
    const std::lock_guard lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
  }
  absl::Status Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return status_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  absl::Status status_;
};

class Leader {
 public:
  Leader(const WorkerOptions& options, const ServedModel& model, WorkerMetrics& metrics,
         WakeUp& wake_up)
      : options_(options),
        model_(model),
        metrics_(metrics),
        events_(metrics),
        wake_up_(wake_up),
        engine_service_(MakeModelInfo(model, options)) {}

  absl::Status Listen(const std::string& metrics_address);
  int Run();

 private:
  // On a thread of its own, so that the main thread hears signals meanwhile.
  absl::Status Load();
  // wait: for as long as it takes, with a line in the log now and then.
  absl::Status AwaitRanks(absl::Status (GroupService::*wait)(std::chrono::nanoseconds));
  absl::Status Warmup();
  EngineOptions MakeEngineOptions();
  // An error when a step takes too long to be still running.
  absl::Status CheckProgress() const;
  int Drain();
  int Fail(const absl::Status& reason);
  void SetServing(bool serving);
  void Announce(const std::string& line) const;

  const WorkerOptions& options_;
  const ServedModel& model_;
  WorkerMetrics& metrics_;
  LoggedEvents events_;
  WakeUp& wake_up_;
  const SteadyClock clock_;
  const Clock::TimePoint start_ = clock_.Now();

  EngineService engine_service_;
  std::unique_ptr<ExecutorFactory> factory_;
  std::unique_ptr<GroupService> group_;
  std::unique_ptr<Executor> executor_;
  int num_pages_ = 0;  // that every rank has; set before loaded_
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<grpc::Server> server_;

  // Set once engine_ is there: the group's callback comes on other threads.
  std::atomic<Engine*> running_engine_{nullptr};
  std::mutex mutex_;
  absl::Status failure_;  // guarded by mutex_
  bool loaded_ = false;   // guarded by mutex_
  // guarded by mutex_: the failure is that the executor cannot be made, and will not go away.
  bool refused_ = false;
};

absl::Status Leader::Listen(const std::string& metrics_address) {
  GroupOptions group;
  group.tp_size = options_.tp_size;
  group.checkpoint_digest = model_.folder->digest();
  group.build_id = BuildId();
  group.device = DeviceName(options_.device);
  group.all_reduce = AllReduceModeName(options_.all_reduce);
  group.accepted.set_num_pages(static_cast<uint32_t>(model_.num_pages));
  group.accepted.set_max_rows(static_cast<uint32_t>(options_.max_num_seqs));
  group.accepted.set_max_batched_tokens(static_cast<uint32_t>(options_.max_prefill_tokens));
  group.accepted.set_max_model_len(static_cast<uint32_t>(model_.limits.max_model_len));
  group.accepted.set_speculative_tokens(static_cast<uint32_t>(options_.speculative_tokens));
  group.accepted.set_speculation_max_rows(static_cast<uint32_t>(options_.speculation_max_rows));
  SLUICE_ASSIGN_OR_RETURN(factory_, ExecutorFactory::Make(options_));
  SLUICE_RETURN_IF_ERROR(factory_->OpenGroup(&group.accepted));
  group.on_change = [this] {
    if (!group_->Health().ok()) factory_->Abort();
    if (Engine* engine = running_engine_.load(std::memory_order_acquire)) engine->Wake();
    if (!group_->Health().ok()) wake_up_.Notify();
  };
  group_ = std::make_unique<GroupService>(std::move(group));

  const std::string address = absl::StrCat(options_.listen, ":", options_.grpc_port);
  const absl::Status can_listen = wire::CheckCanListen(options_.listen, options_.grpc_port);
  if (!can_listen.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("--grpc-port ", options_.grpc_port, ": ", address,
                     " cannot be listened on: ", can_listen.message()));
  }

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  // Two workers on one port would steal each other's calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetMaxReceiveMessageSize(16 << 20);
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&engine_service_);
  builder.RegisterService(group_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("--grpc-port ", options_.grpc_port, ": ", address, " cannot be listened on"));
  }
  SetServing(false);
  Announce(
      absl::StrCat("listening grpc=", options_.listen, ":", port, " metrics=", metrics_address));
  return absl::OkStatus();
}

void Leader::Announce(const std::string& line) const {
  if (options_.announce_fd < 0) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    return;
  }
  const std::string text = line + "\n";
  // The launcher at the other end has either read it or is gone, and then so are we.
  if (write(options_.announce_fd, text.data(), text.size()) < 0) return;
}

void Leader::SetServing(bool serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus(serving);
  health->SetServingStatus(kServiceName, serving);
  metrics_.SetReady(serving);
}

absl::Status Leader::AwaitRanks(absl::Status (GroupService::*wait)(std::chrono::nanoseconds)) {
  for (;;) {
    const absl::Status status = (*group_.*wait)(kJoinReportInterval);
    if (!absl::IsDeadlineExceeded(status)) return status;
    spdlog::info("{}", std::string(status.message()));
  }
}

EngineOptions Leader::MakeEngineOptions() {
  EngineOptions options;
  options.scheduler = {.max_rows = options_.max_num_seqs,
                       .max_batched_tokens = options_.max_batched_tokens,
                       .max_prefill_tokens = options_.max_prefill_tokens,
                       .num_pages = num_pages_,
                       .max_model_len = model_.limits.max_model_len,
                       .prefix_cache = options_.prefix_cache,
                       .model = model_.folder->digest(),
                       .max_drafts = options_.speculative_tokens,
                       .speculation_max_rows = options_.speculation_max_rows};
  options.bounds = {.max_sequences = options_.max_queued_requests,
                    .max_tokens = options_.max_queued_tokens};
  options.limits = model_.limits;
  options.watchdog.floor = options_.step_timeout;
  options.on_failure = [this](const absl::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (failure_.ok()) failure_ = status;
    }
    wake_up_.Notify();
  };
  return options;
}

absl::Status Leader::Load() {
  auto time_phase = [this, since = clock_.Now()](const char* phase) mutable {
    const Clock::TimePoint now = clock_.Now();
    metrics_.SetStartupTime(phase, now - since);
    since = now;
  };
  // All first, so that a bound on how long ranks take to meet need not allow for a late start.
  SLUICE_RETURN_IF_ERROR(AwaitRanks(&GroupService::WaitJoined));
  time_phase("join");
  SLUICE_ASSIGN_OR_RETURN(executor_, factory_->MakeExecutor(options_, model_));
  SLUICE_RETURN_IF_ERROR(AwaitRanks(&GroupService::WaitReady));
  num_pages_ = group_->LeastPages(executor_->num_pages());
  spdlog::info("KV cache: {} tokens ({} pages of {})", int64_t{num_pages_ - 1} * kPageTokens,
               num_pages_, kPageTokens);
  time_phase("load");
  engine_ = std::make_unique<Engine>(MakeEngineOptions(), *executor_, *group_, events_, clock_);
  engine_->Start();
  running_engine_.store(engine_.get(), std::memory_order_release);
  SLUICE_RETURN_IF_ERROR(Warmup());
  time_phase("warmup");
  metrics_.SetStartupTime("total", clock_.Now() - start_);
  return absl::OkStatus();
}

absl::Status Leader::Warmup() {
  EngineRequest request;
  request.id = "warm-up";
  request.prompt.assign(static_cast<size_t>(std::min(8, model_.limits.max_model_len - 2)), 0);
  if (request.prompt.empty()) request.prompt = {0};
  request.params.max_tokens = 2;
  request.params.temperature = 0.0f;
  request.params.ignore_eos = true;
  const auto sink = std::make_shared<WarmupSink>();
  events_.set_quiet(true);
  const auto handle = engine_->Submit(std::move(request), sink);
  if (!handle.ok()) return handle.status();
  const absl::Status status = sink->Wait();
  // The sink hears first, the events a moment later.
  engine_->WaitIdle(seconds(1));
  events_.set_quiet(false);
  return status;
}

int Leader::Run() {
  std::thread loader([this] {
    const absl::Status status = Load();
    {
      const std::lock_guard lock(mutex_);
      if (status.ok()) {
        loaded_ = true;
      } else if (failure_.ok()) {
        failure_ = status;
        refused_ = executor_ == nullptr && IsRefusal(status);
      }
    }
    wake_up_.Notify();
  });
  loader.detach();  // every way out of Run that leaves it running ends the process
  bool serving = false;
  for (;;) {
    const std::optional<int> woken = wake_up_.Wait(kTick);
    if (woken.value_or(0) != 0) {
      if (serving) return Drain();
      spdlog::info("stopped while loading");
      std::fflush(nullptr);
      std::_Exit(kExitOk);
    }
    absl::Status failure = group_->Health();
    bool loaded = false;
    {
      const std::lock_guard lock(mutex_);
      if (!failure_.ok()) failure = failure_;
      loaded = loaded_;
    }
    if (failure.ok()) failure = CheckProgress();
    if (!failure.ok()) return Fail(failure);
    if (loaded && !serving) {
      serving = true;
      engine_service_.SetEngine(engine_.get(), num_pages_);
      // First: whoever sees this worker serve may count on the launcher to start it again.
      Announce("ready");
      SetServing(true);
      spdlog::info("serving {} on {} rank(s)", model_.name, options_.tp_size);
    }
  }
}

absl::Status Leader::CheckProgress() const {
  const Engine* engine = running_engine_.load(std::memory_order_acquire);
  if (engine == nullptr) return absl::OkStatus();
  const auto overdue = engine->watchdog().Overdue();
  if (!overdue) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "no step has ended for ", std::chrono::duration_cast<milliseconds>(*overdue).count(), " ms"));
}

int Leader::Drain() {
  spdlog::info("draining: running requests may go on for {} ms", options_.drain_timeout.count());
  SetServing(false);
  engine_->BeginDrain();
  const Clock::TimePoint until = clock_.Now() + options_.drain_timeout;
  // Not a tick longer than was promised.
  const auto left = [&] {
    const auto time = std::chrono::ceil<milliseconds>(until - clock_.Now());
    return std::clamp(time, milliseconds(0), kTick);
  };
  while (!engine_->WaitIdle(left()) && clock_.Now() < until) {
    absl::Status failure = group_->Health();
    if (failure.ok()) failure = CheckProgress();
    if (!failure.ok()) return Fail(failure);
  }
  engine_->Stop();  // collects the steps in flight, so every rank has nothing left to wait for
  group_->SendStop();
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  spdlog::info("stopped");
  std::fflush(nullptr);
  std::_Exit(kExitOk);
}

int Leader::Fail(const absl::Status& reason) {
  spdlog::critical("the group fails: {}", reason.ToString());
  SetServing(false);
  // Whatever hangs below: the launcher starts a new group only when this process has ended.
  std::thread([] {
    std::this_thread::sleep_for(3 * kAbortGrace);
    std::_Exit(kExitFailure);
  }).detach();
  group_->Fail(reason);
  factory_->Abort();
  bool idle = true;
  if (Engine* engine = running_engine_.load(std::memory_order_acquire)) {
    engine->Wake();
    idle = engine->WaitIdle(kAbortGrace);
  }
  // Statuses of ended requests leave with the shutdown, which waits for their handlers: for ever if
  // the step hears no abort, since then the engine ends none. That, and what hangs in a collective
  // or a kernel, is left to the process's end; destructors would wait for it.
  if (idle) server_->Shutdown(std::chrono::system_clock::now() + kAbortGrace);
  std::fflush(nullptr);
  const std::lock_guard lock(mutex_);
  std::_Exit(refused_ ? kExitConfiguration : kExitFailure);
}

}  // namespace

int RunLeader(const WorkerOptions& options, const ServedModel& model, WorkerMetrics& metrics,
              const std::string& metrics_address, WakeUp& wake_up) {
  Leader leader(options, model, metrics, wake_up);
  const absl::Status listening = leader.Listen(metrics_address);
  if (!listening.ok()) {
    spdlog::critical("{}", std::string(listening.message()));
    return kExitConfiguration;
  }
  return leader.Run();
}

}  // namespace sluice::worker
