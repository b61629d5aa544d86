// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/grpc_target.h"

#include <grpcpp/grpcpp.h>

#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/retry_after.h"
#include "proto/wire/status.h"
#include "sluice/v1/inference.grpc.pb.h"

namespace sluice::gateway {
namespace {

namespace v1 = ::sluice::v1;

constexpr int kChannels = 8;
// Events in one Poll: a server that answers at once must not keep the driver from its own business.
constexpr int kMostEvents = 256;

// One call. It has one operation in the queue at a time, whose tag it is.
struct Call {
  enum class Step { kStart, kRead, kFinish };
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncReader<v1::ChatResponse>> reader;
  v1::ChatResponse response;
  grpc::Status status;
  Step step = Step::kStart;
  RequestRecord* record = nullptr;
  std::function<void()> on_end;
  bool cancelled = false;
};

void TakeResponse(const v1::ChatResponse& response, RequestRecord* record) {
  if (response.has_usage()) {
    const v1::Usage& usage = response.usage();
    record->usage = {usage.prompt_tokens(), usage.completion_tokens(), usage.cached_tokens(),
                     usage.reasoning_tokens()};
  }
  if (!response.finish_reason().empty()) record->finish_reason = response.finish_reason();
  if (!response.content().empty() || !response.reasoning_content().empty() ||
      response.tool_calls_size() > 0) {
    record->AddText(BenchClock::now(), -1);
  }
}

void TakeEnd(const Call& call, RequestRecord* record) {
  record->ended = BenchClock::now();
  const absl::Status status = wire::FromGrpcStatus(call.status, call.context);
  if (status.ok() && !record->finish_reason.empty()) {
    record->ending = Ending::kFinished;
  } else if (status.ok()) {
    record->Fail("cut_off", "the stream ended without a finish reason");
  } else if (call.cancelled) {
    record->ending = Ending::kInterrupted;
  } else if (absl::IsResourceExhausted(status)) {
    record->ending = Ending::kRefused;
    record->error_detail = std::string(status.message());
    if (const auto wait = wire::RetryAfter(status); wait.has_value()) {
      record->retry_after_s = std::chrono::duration<double>(*wait).count();
    }
  } else {
    record->Fail(absl::StrCat("grpc_", absl::StatusCodeToString(status.code())),
                 std::string(status.message()));
  }
}

}  // namespace

struct GrpcTarget::Impl {
  GenerationSettings settings;
  std::vector<std::unique_ptr<v1::Inference::Stub>> stubs;
  size_t next_stub = 0;
  grpc::CompletionQueue queue;
  std::unordered_map<Call*, std::shared_ptr<Call>> calls;

  // Handles one event; deletes the call with its last.
  void Advance(Call* call, bool ok) {
    switch (call->step) {
      case Call::Step::kRead:
        if (ok) TakeResponse(call->response, call->record);
        [[fallthrough]];
      case Call::Step::kStart:
        if (ok) {
          call->step = Call::Step::kRead;
          call->reader->Read(&call->response, call);
        } else {
          call->step = Call::Step::kFinish;
          call->reader->Finish(&call->status, call);
        }
        return;
      case Call::Step::kFinish: {
        const std::shared_ptr<Call> ended = std::move(calls.extract(call).mapped());
        TakeEnd(*ended, ended->record);
        ended->on_end();
      }
    }
  }
};

GrpcTarget::GrpcTarget(const std::string& address, const GenerationSettings& settings)
    : impl_(std::make_unique<Impl>()) {
  impl_->settings = settings;
  for (int i = 0; i < kChannels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // or they would share a connection
    arguments.SetMaxReceiveMessageSize(-1);
    impl_->stubs.push_back(v1::Inference::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
  }
}

GrpcTarget::~GrpcTarget() {
  RequestRecord nobody;
  for (const auto& [key, call] : impl_->calls) {
    call->on_end = [] {};
    call->record = &nobody;
    call->context.TryCancel();
  }
  void* tag = nullptr;
  bool ok = false;
  while (!impl_->calls.empty() && impl_->queue.Next(&tag, &ok)) {
    impl_->Advance(static_cast<Call*>(tag), ok);
  }
  impl_->queue.Shutdown();
  while (impl_->queue.Next(&tag, &ok)) {
  }
}

std::function<void()> GrpcTarget::Start(const LoadRequest& request, RequestRecord* record,
                                        std::function<void()> on_end) {
  const GenerationSettings& settings = impl_->settings;
  v1::ChatRequest message;
  message.set_model(settings.model);
  message.set_max_tokens(static_cast<uint32_t>(request.max_tokens));
  message.set_ignore_eos(settings.ignore_eos);
  if (settings.temperature.has_value()) {
    message.set_temperature(static_cast<float>(*settings.temperature));
  }
  if (settings.sampling_seed.has_value()) message.set_seed(*settings.sampling_seed);
  for (const LoadMessage& turn : request.messages) {
    v1::Message* added = message.add_messages();
    added->set_role(turn.role);
    added->set_content(turn.content);
  }
  if (request.messages.empty()) {
    v1::Message* added = message.add_messages();
    added->set_role("user");
    added->set_content(request.prompt);
  }
  auto call = std::make_shared<Call>();
  if (!settings.api_key.empty()) {
    call->context.AddMetadata("authorization", absl::StrCat("Bearer ", settings.api_key));
  }
  call->record = record;
  call->on_end = std::move(on_end);
  const auto& stub = impl_->stubs[impl_->next_stub++ % impl_->stubs.size()];
  record->sent = BenchClock::now();
  call->reader = stub->PrepareAsyncChat(&call->context, message, &impl_->queue);
  call->reader->StartCall(call.get());
  impl_->calls.emplace(call.get(), call);
  return [weak = std::weak_ptr<Call>(call)] {
    const auto running = weak.lock();
    if (running == nullptr) return;
    running->cancelled = true;
    running->context.TryCancel();
  };
}

void GrpcTarget::Poll(BenchClock::time_point deadline) {
  void* tag = nullptr;
  bool ok = false;
  auto until =
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline - BenchClock::now());
  for (int i = 0; i < kMostEvents; ++i) {
    if (impl_->queue.AsyncNext(&tag, &ok, until) != grpc::CompletionQueue::GOT_EVENT) return;
    impl_->Advance(static_cast<Call*>(tag), ok);
    until = std::chrono::system_clock::time_point();  // what is there already
  }
}

}  // namespace sluice::gateway
