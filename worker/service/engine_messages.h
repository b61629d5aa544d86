// SPDX-License-Identifier: Apache-2.0
// Between the messages of sluice.worker.v1.Engine and the engine's plain structs. Pure functions,
// any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "sluice/worker/v1/engine.pb.h"
#include "worker/engine/request.h"

namespace sluice::worker {

// INVALID_ARGUMENT, naming the field, for numbers that do not fit; what they mean is checked by the
// engine.
absl::StatusOr<EngineRequest> FromMessage(const v1::GenerateRequest& message);
absl::StatusOr<CancelCommand> FromMessage(const v1::CancelRequest& message);

v1::GenerateResponse ToMessage(ChoiceChunk chunk);

// Appends what a later message of the same choice says, as if both had been one.
void Merge(v1::GenerateResponse later, v1::GenerateResponse& message);

}  // namespace sluice::worker
