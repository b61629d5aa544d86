// SPDX-License-Identifier: Apache-2.0
// ApiContext: what every front door needs to serve a request. Filled by main; everything it points
// at outlives the servers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "gateway/server/request_metrics.h"
#include "gateway/server/work_pool.h"
#include "gateway/session/text_engine.h"

namespace sluice::gateway {

struct ApiContext {
  const TextEngine* engine = nullptr;
  WorkPool* work = nullptr;
  RequestMetrics* metrics = nullptr;
  std::atomic<int>* running = nullptr;  // requests accepted and not ended; a drain waits for zero
  // Whether a request may come in, given its Authorization header or metadata: UNAVAILABLE while
  // draining, UNAUTHENTICATED without a key. Any thread, quick.
  std::function<absl::Status(std::string_view authorization)> admit;
  std::string model_root;            // the model folder's name, for /v1/models
  int64_t created_unix_seconds = 0;  // when this gateway started
};

}  // namespace sluice::gateway
