// SPDX-License-Identifier: Apache-2.0
// Session: the life of one accepted request, from prompt ids to its single end. Owned jointly by
// the server's connection (to cancel) and by the running worker calls (to deliver), whichever lasts
// longer.
#pragma once

#include <memory>

#include "gateway/backend/worker_client.h"

namespace sluice::gateway {

// Thread safe.
class Session {
 public:
  virtual ~Session() = default;

  // Stops the work: the worker frees its pages within a step. The sink's OnEnd still comes, once,
  // unless it has come already. kDisconnect ends with CANCELLED, kDeadline with DEADLINE_EXCEEDED.
  virtual void Cancel(CancelReason reason) = 0;

  // Over all prompts, as usage counts them.
  virtual int prompt_tokens() const = 0;
};

}  // namespace sluice::gateway
