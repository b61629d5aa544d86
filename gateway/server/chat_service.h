// SPDX-License-Identifier: Apache-2.0
// ChatService: sluice.v1.Inference over gRPC's callback API. Private to grpc_server.cc: it brings
// gRPC along. Created by GrpcServer; gRPC's threads call it.
#pragma once

#include <cstddef>

#include "gateway/server/api_context.h"
#include "sluice/v1/inference.grpc.pb.h"

namespace sluice::gateway {

class ChatService final : public sluice::v1::Inference::CallbackService {
 public:
  // max_unsent_bytes: of one answer, before its client counts as stuck and the work is cancelled.
  ChatService(const ApiContext& context, size_t max_unsent_bytes)
      : context_(context), max_unsent_bytes_(max_unsent_bytes) {}

  grpc::ServerWriteReactor<sluice::v1::ChatResponse>* Chat(
      grpc::CallbackServerContext* context, const sluice::v1::ChatRequest* request) override;

 private:
  const ApiContext context_;
  const size_t max_unsent_bytes_;
};

}  // namespace sluice::gateway
