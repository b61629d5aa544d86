// SPDX-License-Identifier: Apache-2.0
// The routes that operators, probes and Prometheus use; the same on the API's port and on the
// metrics port.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "gateway/server/router.h"

namespace sluice::gateway {

struct OperationRoutes {
  std::string version;
  // OK while new requests would be served; else why not. Any thread, quick.
  std::function<absl::Status()> readiness;
  // The metrics in Prometheus's text format.
  std::function<std::string()> metrics;
};

// GET /health and /readyz (readiness), /livez (the process answers), /metrics, /version.
void AddOperationRoutes(const OperationRoutes& routes, Router& router);

}  // namespace sluice::gateway
