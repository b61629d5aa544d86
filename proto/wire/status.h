// SPDX-License-Identifier: Apache-2.0
// The only mapping between absl::Status, which all our code speaks, and grpc::Status, which the
// wire speaks. The waiting time of proto/wire/retry_after.h travels in the trailing metadata. Used
// by every gRPC server and client of both processes; pure functions, any thread.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace sluice::wire {

// Code and message, unchanged. A code that neither side defines becomes UNKNOWN.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

// For servers: also puts the status's waiting time into the call's trailing metadata. REQUIRES: the
// call has not finished. Call it once per call.
grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContextBase& context);

// For clients: also reads the waiting time from the trailing metadata. REQUIRES: the call has
// finished.
absl::Status FromGrpcStatus(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace sluice::wire
