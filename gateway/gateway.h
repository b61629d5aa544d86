// SPDX-License-Identifier: Apache-2.0
// Gateway: the process put together: model folder, worker pool, text engine, HTTP, gRPC and metrics
// servers, in the order in which they start and stop. One per process, used by main's thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/config.h"

namespace sluice::gateway {

class Gateway {
 public:
  // Loads the model folder, then listens. An error comes before any port is open, and names file or
  // port.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(const GatewayConfig& config,
                                                        const std::string& version);
  // What Start would refuse about the model folder and the configuration, without listening.
  static absl::Status Check(const GatewayConfig& config);

  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // "listening http=HOST:PORT grpc=HOST:PORT metrics=HOST:PORT", for whoever started the process.
  std::string ListeningLine() const;

  // Readiness off, no new requests. Repeatable.
  void BeginDrain();
  // Nothing runs any more, and every answer is sent.
  bool Drained() const;
  // Ends what still runs with UNAVAILABLE.
  void FailRunning();

 private:
  struct Impl;
  explicit Gateway(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
