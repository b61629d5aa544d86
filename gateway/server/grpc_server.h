// SPDX-License-Identifier: Apache-2.0
// GrpcServer: the public gRPC port: sluice.v1.Inference, the standard health service and server
// reflection. Created, stopped and destroyed by main.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/server/api_context.h"

namespace sluice::gateway {

struct GrpcServerOptions {
  std::string listen = "0.0.0.0";  // address
  int port = 0;                    // 0: picked free
  size_t max_request_bytes = 16 * 1024 * 1024;
  size_t max_unsent_bytes = 4 * 1024 * 1024;  // of one answer, before its client counts as stuck
};

class GrpcServer {
 public:
  // UNAVAILABLE, naming address and port, when it cannot bind. Starts as NOT_SERVING.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           const ApiContext& context);
  ~GrpcServer();  // Stop(0)
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  int port() const;

  // What grpc.health.v1 answers, for the whole server and for sluice.v1.Inference. One call at a
  // time, none once Stop is called.
  void SetServing(bool serving);

  // No new calls; waits for the running ones, and cancels what is left after the timeout.
  // Idempotent.
  void Stop(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
