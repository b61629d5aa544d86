// SPDX-License-Identifier: Apache-2.0
#include "gateway/backend/grpc_worker_client.h"

#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "gateway/backend/engine_messages.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "proto/wire/metadata.h"
#include "proto/wire/status.h"
#include "sluice/worker/v1/engine.grpc.pb.h"

namespace sluice::gateway {

namespace pb = ::sluice::worker::v1;

namespace {

// A Cancel that takes longer is of no use: the stream's own cancellation has long arrived.
constexpr std::chrono::seconds kCancelTimeout{5};

class RunningCall;
class Probing;

// gRPC 1.51 runs the callbacks of all channels on threads that end with the last such channel, and
// whoever drops that one joins them. A call's context holds its channel and is itself dropped in a
// callback, so such a thread could come to join itself, which leaves it running on freed memory.
// Hence the first channel of the process is never dropped; it costs an idle channel at most.
void KeepCallbackThreads(const std::shared_ptr<grpc::Channel>& channel) {
  // Used, or the compiler drops the pointer, and LeakSanitizer takes the channel for lost.
  [[gnu::used]] static const auto* const kept = new std::shared_ptr<grpc::Channel>(channel);
}

}  // namespace

struct GrpcWorkerClient::Shared {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::Engine::Stub> engine;
  std::unique_ptr<grpc::health::v1::Health::Stub> health;

  mutable std::mutex mu;
  // Guarded by mu.
  absl::StatusOr<ModelInfo> info = absl::UnavailableError("not asked yet");
  std::set<RunningCall*> running;
  std::set<Probing*> probing;
  absl::Status stopped;  // what ends calls and probes once Stop was called; OK before
};

namespace {

// Owns itself from Start to OnDone; the session's reference is only for cancelling.
class RunningCall final : public grpc::ClientReadReactor<pb::GenerateResponse>,
                          public GenerateCall,
                          public std::enable_shared_from_this<RunningCall> {
 public:
  RunningCall(std::shared_ptr<GrpcWorkerClient::Shared> shared, const GenerateRequest& request,
              std::shared_ptr<TokenObserver> observer)
      : shared_(std::move(shared)),
        observer_(std::move(observer)),
        request_id_(request.request_id),
        n_(request.n),
        unfinished_(request.n),
        request_(ToProto(request)) {
    if (request.deadline) context_.set_deadline(*request.deadline);
    if (!request.request_id.empty()) {
      context_.AddMetadata(wire::kRequestIdMetadata, request.request_id);
    }
    if (!request.traceparent.empty()) {
      context_.AddMetadata(wire::kTraceparentMetadata, request.traceparent);
    }
  }

  void Start() {
    self_ = shared_from_this();
    absl::Status stopped;
    {
      std::lock_guard<std::mutex> lock(shared_->mu);
      shared_->running.insert(this);
      stopped = shared_->stopped;
    }
    if (!stopped.ok()) Fail(stopped);  // a context cancelled before its call cancels that
    shared_->engine->async()->Generate(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void Cancel(CancelReason reason) override {
    // The unary call carries the reason; the stream's cancellation works even when the worker has
    // not yet seen the request, or the unary call is lost.
    SendCancel(reason, std::nullopt, 0);
    context_.TryCancel();
  }

  void StopChoice(int choice, int completion_tokens) override {
    SendCancel(CancelReason::kStopString, choice, completion_tokens);
  }

  // Ends the call with a status of our own.
  void Fail(absl::Status status) {
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (override_.ok()) override_ = std::move(status);
    }
    context_.TryCancel();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone follows
    absl::StatusOr<TokenChunk> chunk = FromProto(response_, n_);
    if (!chunk.ok()) {
      broken_ = true;
      Fail(chunk.status());
    } else if (!broken_) {
      if (chunk->finish != FinishReason::kNone) --unfinished_;
      observer_->OnChunk(*std::move(chunk));
    }
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& grpc_status) override {
    absl::Status status = wire::FromGrpcStatus(grpc_status, context_);
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (!override_.ok()) status = override_;
    }
    if (status.ok() && unfinished_ > 0) {
      status = absl::InternalError(absl::StrCat("worker group ", shared_->address, " ended with ",
                                                unfinished_, " of ", n_, " choices unfinished"));
    }
    {
      std::lock_guard<std::mutex> lock(shared_->mu);
      shared_->running.erase(this);
    }
    const std::shared_ptr<RunningCall> self = std::move(self_);
    const std::shared_ptr<TokenObserver> observer = std::move(observer_);
    observer->OnDone(std::move(status));
  }

 private:
  void SendCancel(CancelReason reason, std::optional<int> choice, int completion_tokens) {
    struct Cancellation {
      grpc::ClientContext context;
      pb::CancelRequest request;
      pb::CancelResponse response;
    };
    auto cancellation = std::make_shared<Cancellation>();
    cancellation->context.set_deadline(std::chrono::system_clock::now() + kCancelTimeout);
    cancellation->request.set_request_id(request_id_);
    cancellation->request.set_reason(ToProto(reason));
    if (choice) cancellation->request.set_choice(static_cast<uint32_t>(*choice));
    cancellation->request.set_completion_tokens(static_cast<uint32_t>(completion_tokens));
    shared_->engine->async()->Cancel(
        &cancellation->context, &cancellation->request, &cancellation->response,
        [cancellation, reason, self = shared_from_this()](const grpc::Status& status) {
          // A stop that the worker never hears of would generate to the limit, unseen.
          if (!status.ok() && reason == CancelReason::kStopString) {
            self->Fail(wire::FromGrpcStatus(status, cancellation->context));
          }
        });
  }

  const std::shared_ptr<GrpcWorkerClient::Shared> shared_;
  std::shared_ptr<TokenObserver> observer_;  // reactor callbacks only
  const std::string request_id_;
  const int n_;
  int unfinished_;       // choices without a finish reason so far; reactor callbacks only
  bool broken_ = false;  // a message broke the contract; reactor callbacks only
  grpc::ClientContext context_;
  const pb::GenerateRequest request_;
  pb::GenerateResponse response_;
  std::shared_ptr<RunningCall> self_;

  std::mutex mu_;
  absl::Status override_;  // guarded by mu_
};

// One probe: health first, then the model. Its callbacks own it.
class Probing : public std::enable_shared_from_this<Probing> {
 public:
  Probing(std::shared_ptr<GrpcWorkerClient::Shared> shared, std::chrono::milliseconds timeout,
          std::function<void(absl::StatusOr<ModelInfo>)> done)
      : shared_(std::move(shared)), done_(std::move(done)) {
    const auto deadline = std::chrono::system_clock::now() + timeout;
    health_context_.set_deadline(deadline);
    info_context_.set_deadline(deadline);
  }

  void Start() {
    bool stopped;
    {
      std::lock_guard<std::mutex> lock(shared_->mu);
      shared_->probing.insert(this);
      stopped = !shared_->stopped.ok();
    }
    if (stopped) Cancel();
    shared_->health->async()->Check(
        &health_context_, &health_request_, &health_response_,
        [self = shared_from_this()](const grpc::Status& status) { self->OnHealth(status); });
  }

  // `done` follows soon, with CANCELLED.
  void Cancel() {
    health_context_.TryCancel();
    info_context_.TryCancel();
  }

 private:
  void OnHealth(const grpc::Status& status) {
    // A leader without the health service is judged by GetModelInfo alone.
    const bool asked_in_vain = status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
    if (!status.ok() && !asked_in_vain) return End(wire::FromGrpcStatus(status, health_context_));
    if (!asked_in_vain &&
        health_response_.status() != grpc::health::v1::HealthCheckResponse::SERVING) {
      return End(absl::UnavailableError("the group says that it is not serving"));
    }
    shared_->engine->async()->GetModelInfo(
        &info_context_, &info_request_, &info_response_,
        [self = shared_from_this()](const grpc::Status& answer) { self->OnInfo(answer); });
  }

  void OnInfo(const grpc::Status& status) {
    absl::StatusOr<ModelInfo> info = FromProto(info_response_);
    if (!status.ok()) info = wire::FromGrpcStatus(status, info_context_);
    {
      std::lock_guard<std::mutex> lock(shared_->mu);
      shared_->info = info;
    }
    End(std::move(info));
  }

  void End(absl::StatusOr<ModelInfo> info) {
    {
      std::lock_guard<std::mutex> lock(shared_->mu);
      shared_->probing.erase(this);
    }
    const auto done = std::move(done_);
    done(std::move(info));
  }

  const std::shared_ptr<GrpcWorkerClient::Shared> shared_;
  std::function<void(absl::StatusOr<ModelInfo>)> done_;
  grpc::ClientContext health_context_;
  grpc::health::v1::HealthCheckRequest health_request_;
  grpc::health::v1::HealthCheckResponse health_response_;
  grpc::ClientContext info_context_;
  pb::GetModelInfoRequest info_request_;
  pb::ModelInfo info_response_;
};

}  // namespace

GrpcWorkerClient::GrpcWorkerClient(std::string address) : shared_(std::make_shared<Shared>()) {
  grpc::ChannelArguments arguments;
  // A restarted group should be found again within a probe or two.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetMaxReceiveMessageSize(-1);
  shared_->address = std::move(address);
  shared_->channel =
      grpc::CreateCustomChannel(shared_->address, grpc::InsecureChannelCredentials(), arguments);
  KeepCallbackThreads(shared_->channel);
  shared_->engine = pb::Engine::NewStub(shared_->channel);
  shared_->health = grpc::health::v1::Health::NewStub(shared_->channel);
}

GrpcWorkerClient::~GrpcWorkerClient() = default;

const std::string& GrpcWorkerClient::address() const { return shared_->address; }

std::shared_ptr<GenerateCall> GrpcWorkerClient::Generate(GenerateRequest request,
                                                         std::shared_ptr<TokenObserver> observer) {
  auto call = std::make_shared<RunningCall>(shared_, request, std::move(observer));
  call->Start();
  return call;
}

absl::StatusOr<ModelInfo> GrpcWorkerClient::GetModelInfo() const {
  std::lock_guard<std::mutex> lock(shared_->mu);
  return shared_->info;
}

void GrpcWorkerClient::FailRunning(const absl::Status& status) {
  std::vector<std::shared_ptr<RunningCall>> calls;
  {
    std::lock_guard<std::mutex> lock(shared_->mu);
    for (RunningCall* call : shared_->running) calls.push_back(call->shared_from_this());
  }
  for (const auto& call : calls) call->Fail(status);
}

void GrpcWorkerClient::Probe(std::chrono::milliseconds timeout,
                             std::function<void(absl::StatusOr<ModelInfo>)> done) {
  std::make_shared<Probing>(shared_, timeout, std::move(done))->Start();
}

void GrpcWorkerClient::Stop(const absl::Status& status) {
  std::vector<std::shared_ptr<Probing>> probes;
  {
    std::lock_guard<std::mutex> lock(shared_->mu);
    shared_->stopped = status;
    for (Probing* probe : shared_->probing) probes.push_back(probe->shared_from_this());
  }
  for (const auto& probe : probes) probe->Cancel();
  FailRunning(status);
}

}  // namespace sluice::gateway
