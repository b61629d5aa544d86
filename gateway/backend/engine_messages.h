// SPDX-License-Identifier: Apache-2.0
// Between worker_client.h's plain structs and the messages of sluice.worker.v1. Private to this
// folder: it brings protobuf along. Pure functions, any thread.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/backend/worker_client.h"
#include "sluice/worker/v1/engine.pb.h"

namespace sluice::gateway {

sluice::worker::v1::GenerateRequest ToProto(const GenerateRequest& request);
sluice::worker::v1::CancelRequest::Reason ToProto(CancelReason reason);

// INTERNAL, naming the field, for a message that breaks the contract: a worker's bug must not reach
// a client as wrong text.
absl::StatusOr<TokenChunk> FromProto(const sluice::worker::v1::GenerateResponse& response, int n);
ModelInfo FromProto(const sluice::worker::v1::ModelInfo& info);

}  // namespace sluice::gateway
