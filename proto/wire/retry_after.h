// SPDX-License-Identifier: Apache-2.0
// How long a refused caller should wait, carried as a payload of the absl::Status itself, so that
// the place that refuses (a scheduler, a quota) and the place that answers (gRPC trailing metadata,
// HTTP Retry-After) need no other channel. No gRPC here: schedulers and sessions include this. Pure
// functions, any thread.
#pragma once

#include <chrono>
#include <optional>

#include "absl/status/status.h"

namespace sluice::wire {

// The status with the waiting time attached; an earlier one is replaced. Negative times become 0.
// An OK status cannot carry a payload and is returned as it is.
absl::Status WithRetryAfter(absl::Status status, std::chrono::milliseconds wait);

// The attached waiting time, or nothing.
std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status);

}  // namespace sluice::wire
