// SPDX-License-Identifier: Apache-2.0
#include "gateway/gateway.h"

#include <atomic>
#include <ctime>
#include <filesystem>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/chat/chat_template.h"
#include "gateway/metrics.h"
#include "gateway/server/api_keys.h"
#include "gateway/server/grpc_server.h"
#include "gateway/server/http_server.h"
#include "gateway/server/log.h"
#include "gateway/server/openai_routes.h"
#include "gateway/server/operation_routes.h"
#include "gateway/server/work_pool.h"
#include "gateway/tokenizer/tokenizer.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {

namespace {

// Requests that wait to be parsed and tokenized. Beyond it the machine is too slow for what it is
// asked, and waiting longer helps nobody.
constexpr size_t kMaxWaitingWork = 1024;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void LogGroupEvent(const WorkerGroupEvent& event) {
  using Kind = WorkerGroupEvent::Kind;
  const std::string_view address = event.address;
  const std::string_view detail = event.detail;
  switch (event.kind) {
    case Kind::kReady:
      return LogEvent(LogLevel::kInfo, "worker group is ready",
                      {{"group", address}, {"detail", detail}});
    case Kind::kAwaited:
      return LogEvent(LogLevel::kInfo, "worker group is not ready yet",
                      {{"group", address}, {"detail", detail}});
    case Kind::kEjected:
      return LogEvent(LogLevel::kWarning, "worker group is not used",
                      {{"group", address}, {"detail", detail}});
    case Kind::kRefused:
      return LogEvent(LogLevel::kError, "worker group is refused",
                      {{"group", address}, {"detail", detail}});
    case Kind::kRemoved:
      return LogEvent(LogLevel::kInfo, "worker group is gone",
                      {{"group", address}, {"detail", detail}});
  }
}

struct ModelFolder {
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<const ChatTemplate> chat_template;
  double tokenizer_seconds = 0.0;
  double template_seconds = 0.0;
};

absl::StatusOr<ModelFolder> LoadModelFolder(const std::string& model_dir) {
  ModelFolder folder;
  auto start = std::chrono::steady_clock::now();
  const std::filesystem::path path = std::filesystem::path(model_dir) / "tokenizer.json";
  SLUICE_ASSIGN_OR_RETURN(folder.tokenizer, Tokenizer::Load(path.string()));
  folder.tokenizer_seconds = SecondsSince(start);
  start = std::chrono::steady_clock::now();
  SLUICE_ASSIGN_OR_RETURN(folder.chat_template, ChatTemplate::Load(model_dir));
  folder.template_seconds = SecondsSince(start);
  return folder;
}

absl::StatusOr<ApiKeys> LoadKeys(const GatewayConfig& config) {
  if (config.api_keys_file.empty()) return ApiKeys();
  return ApiKeys::Load(config.api_keys_file);
}

}  // namespace

// Members stop and die in reverse: servers first, then what they serve from.
struct Gateway::Impl {
  Impl(const GatewayConfig& gateway_config, const std::string& version)
      : config(gateway_config), metrics(version) {}

  absl::Status Readiness() const {
    if (draining) return absl::UnavailableError("the gateway is shutting down");
    const absl::StatusOr<ModelInfo> info = pool->GetModelInfo();
    return info.status();
  }

  absl::Status Admit(std::string_view authorization) const {
    if (draining) return absl::UnavailableError("the gateway is shutting down");
    return keys.Check(authorization);
  }

  // The gRPC health service says what /readyz says, and says it no later.
  void TakeReadiness(bool ready) {
    std::lock_guard<std::mutex> lock(health_mu);
    workers_ready = ready;
    if (!draining && grpc_server) grpc_server->SetServing(ready);
  }
  void BeginDrain() {
    std::lock_guard<std::mutex> lock(health_mu);
    if (!draining && grpc_server) grpc_server->SetServing(false);
    draining = true;
  }

  void StartEngine() {
    WorkerPoolOptions pool_options;
    pool_options.addresses = config.workers;
    pool_options.tokenizer_sha256 = folder.tokenizer->sha256();
    pool_options.vocab_size = folder.tokenizer->vocab_size();
    pool_options.on_event = LogGroupEvent;
    pool_options.on_readiness = [this](bool ready) { TakeReadiness(ready); };
    pool = std::make_unique<WorkerPool>(std::move(pool_options));

    TextEngineOptions engine_options;
    engine_options.tokenizer = folder.tokenizer.get();
    engine_options.chat_template = folder.chat_template.get();
    engine_options.worker = pool.get();
    engine_options.served_model_names = config.served_model_names;
    engine_options.sampling_defaults = config.sampling_defaults;
    engine_options.trust_user_control_tokens = config.trust_user_control_tokens;
    engine = std::make_unique<TextEngine>(std::move(engine_options));
    work = std::make_unique<WorkPool>(config.work_threads, kMaxWaitingWork);
  }

  absl::Status Listen(const std::string& version) {
    ApiContext context;
    context.engine = engine.get();
    context.work = work.get();
    context.metrics = &metrics;
    context.running = &running;
    context.admit = [this](std::string_view authorization) { return Admit(authorization); };
    context.model_root = std::filesystem::canonical(config.model_dir).filename().string();
    context.created_unix_seconds = std::time(nullptr);

    // First, so that no /readyz is there before the health service that agrees with it.
    SLUICE_RETURN_IF_ERROR(ListenForGrpc(context));

    OperationRoutes operation;
    operation.version = version;
    operation.readiness = [this] { return Readiness(); };
    operation.metrics = [this] { return metrics.Scrape(); };
    auto metrics_router = std::make_shared<Router>();
    AddOperationRoutes(operation, *metrics_router);
    auto router = std::make_shared<Router>();
    AddOpenAiRoutes(context, *router);
    AddOperationRoutes(operation, *router);

    HttpServerOptions metrics_options;
    metrics_options.listen = config.listen;
    metrics_options.port = config.metrics_port;
    metrics_options.num_threads = 1;
    SLUICE_ASSIGN_OR_RETURN(metrics_server,
                            HttpServer::Start(std::move(metrics_options), metrics_router));
    HttpServerOptions options;
    options.listen = config.listen;
    options.port = config.http_port;
    options.num_threads = config.http_threads;
    options.max_connections = config.max_connections;
    options.max_body_bytes = config.max_body_bytes;
    options.max_unsent_bytes = config.max_unsent_bytes;
    SLUICE_ASSIGN_OR_RETURN(http_server, HttpServer::Start(std::move(options), router));
    return absl::OkStatus();
  }

  absl::Status ListenForGrpc(const ApiContext& context) {
    GrpcServerOptions options;
    options.listen = config.listen;
    options.port = config.grpc_port;
    options.max_request_bytes = config.max_body_bytes;
    options.max_unsent_bytes = config.max_unsent_bytes;
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<GrpcServer> server,
                            GrpcServer::Start(options, context));
    std::lock_guard<std::mutex> lock(health_mu);
    server->SetServing(workers_ready);
    grpc_server = std::move(server);
    return absl::OkStatus();
  }

  const GatewayConfig config;
  Metrics metrics;
  ApiKeys keys;
  std::mutex health_mu;               // taken while the pool holds its own
  bool workers_ready = false;         // guarded by health_mu
  std::atomic<bool> draining{false};  // written under health_mu
  std::atomic<int> running{0};
  ModelFolder folder;
  std::unique_ptr<WorkerPool> pool;
  std::unique_ptr<TextEngine> engine;
  std::unique_ptr<WorkPool> work;
  std::unique_ptr<HttpServer> metrics_server;
  std::unique_ptr<HttpServer> http_server;
  std::unique_ptr<GrpcServer> grpc_server;
};

absl::Status Gateway::Check(const GatewayConfig& config) {
  SLUICE_RETURN_IF_ERROR(LoadKeys(config).status());
  return LoadModelFolder(config.model_dir).status();
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const GatewayConfig& config,
                                                        const std::string& version) {
  const auto start = std::chrono::steady_clock::now();
  auto impl = std::make_unique<Impl>(config, version);
  SLUICE_ASSIGN_OR_RETURN(impl->keys, LoadKeys(config));
  SLUICE_ASSIGN_OR_RETURN(impl->folder, LoadModelFolder(config.model_dir));
  impl->StartEngine();
  std::unique_ptr<Gateway> gateway(new Gateway(std::move(impl)));
  Impl& parts = *gateway->impl_;
  SLUICE_RETURN_IF_ERROR(parts.Listen(version));
  parts.metrics.SetStartupSeconds("tokenizer", parts.folder.tokenizer_seconds);
  parts.metrics.SetStartupSeconds("chat_template", parts.folder.template_seconds);
  parts.metrics.SetStartupSeconds("total", SecondsSince(start));
  parts.metrics.SetSources([&parts] { return parts.http_server->stats(); },
                           [&parts] { return parts.pool->stats(); });
  return gateway;
}

Gateway::Gateway(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Gateway::~Gateway() {
  BeginDrain();
  // Servers first: closing their connections cancels what runs, and no new work arrives.
  if (impl_->grpc_server) impl_->grpc_server->Stop(std::chrono::milliseconds(0));
  if (impl_->http_server) impl_->http_server->Stop();
  if (impl_->metrics_server) impl_->metrics_server->Stop();
  // Then what still comes back to the engine, the metrics and the log, while they are there.
  impl_->work.reset();
  impl_->pool->Stop();
}

std::string Gateway::ListeningLine() const {
  const std::string host = absl::StrContains(impl_->config.listen, ":")
                               ? absl::StrCat("[", impl_->config.listen, "]")
                               : impl_->config.listen;
  return absl::StrCat("listening http=", host, ":", impl_->http_server->port(), " grpc=", host, ":",
                      impl_->grpc_server->port(), " metrics=", host, ":",
                      impl_->metrics_server->port());
}

void Gateway::BeginDrain() { impl_->BeginDrain(); }

bool Gateway::Drained() const {
  return impl_->running == 0 && impl_->http_server->stats().answering == 0;
}

void Gateway::FailRunning() {
  impl_->pool->FailRunning(absl::UnavailableError("the gateway is shutting down"));
}

}  // namespace sluice::gateway
