// SPDX-License-Identifier: Apache-2.0
// Between the messages of sluice.v1 and the structs that both front doors share. Private to the
// gRPC side of this folder: it brings protobuf along. Pure functions, any thread.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/openai/chat_request.h"
#include "gateway/openai/delta.h"
#include "gateway/openai/response_header.h"
#include "sluice/v1/inference.pb.h"

namespace sluice::gateway {

// The same checks, with the same words, as on the JSON form.
absl::StatusOr<ChatRequest> FromProto(const sluice::v1::ChatRequest& message);

sluice::v1::ChatResponse ToProto(const ResponseHeader& header, const ChoiceDelta& delta);
sluice::v1::Usage ToProto(const ResponseUsage& usage);

}  // namespace sluice::gateway
