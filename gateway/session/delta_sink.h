// SPDX-License-Identifier: Apache-2.0
// DeltaSink: where a session's deltas go; implemented by the HTTP and gRPC servers. Called by the
// session on the worker client's threads, one call at a time.
#pragma once

#include "absl/status/status.h"
#include "gateway/openai/delta.h"

namespace sluice::gateway {

class DeltaSink {
 public:
  virtual ~DeltaSink() = default;

  // Must not block; may call Session::Cancel. Not called any more after Cancel has returned on this
  // thread, or after OnEnd.
  virtual void OnDelta(ChoiceDelta delta) = 0;

  // Exactly once, and last. OK: every choice has ended. Otherwise: CANCELLED after
  // Cancel(kDisconnect), DEADLINE_EXCEEDED, or the worker's own status; what was delivered before
  // stays valid.
  virtual void OnEnd(absl::Status status, ResponseUsage usage) = 0;
};

}  // namespace sluice::gateway
