// SPDX-License-Identifier: Apache-2.0
#include "worker/service/engine_service.h"

#include "proto/wire/status.h"
#include "worker/service/engine_messages.h"
#include "worker/service/generate_stream.h"

namespace sluice::worker {
namespace {

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(wire::ToGrpcStatus(status, *context));
  return reactor;
}

}  // namespace

grpc::ServerWriteReactor<v1::GenerateResponse>* EngineService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  return GenerateStream::Start(context, *request, engine());
}

grpc::ServerUnaryReactor* EngineService::Cancel(grpc::CallbackServerContext* context,
                                                const v1::CancelRequest* request,
                                                v1::CancelResponse*) {
  const absl::StatusOr<CancelCommand> command = FromMessage(*request);
  if (!command.ok()) return Finish(context, command.status());
  if (Engine* const running = engine(); running != nullptr) {
    running->Cancel(request->request_id(), *command);
  }
  return Finish(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* EngineService::GetModelInfo(grpc::CallbackServerContext* context,
                                                      const v1::GetModelInfoRequest*,
                                                      v1::ModelInfo* response) {
  if (engine() == nullptr) {
    return Finish(context, absl::UnavailableError("the model is still loading"));
  }
  *response = info_;
  return Finish(context, absl::OkStatus());
}

}  // namespace sluice::worker
