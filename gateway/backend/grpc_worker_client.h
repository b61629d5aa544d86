// SPDX-License-Identifier: Apache-2.0
// GrpcWorkerClient: one worker group over gRPC. It keeps one channel to the group's leader and runs
// every call as a callback reactor that reads the next message only when the observer has taken the
// last one, so that a slow gateway slows the stream instead of filling memory. Owned by WorkerPool;
// thread safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/backend/worker_client.h"

namespace sluice::gateway {

class GrpcWorkerClient : public WorkerClient {
 public:
  // address: host:port of the leader. Connects lazily.
  explicit GrpcWorkerClient(std::string address);
  // Running calls go on; they hold what they need.
  ~GrpcWorkerClient() override;

  std::shared_ptr<GenerateCall> Generate(GenerateRequest request,
                                         std::shared_ptr<TokenObserver> observer) override;
  // What the last successful Probe brought.
  absl::StatusOr<ModelInfo> GetModelInfo() const override;

  // Asks the group for its health and its model; `done` is called once, on a thread of gRPC.
  // UNAVAILABLE when the group cannot be reached or says that it is not serving, DEADLINE_EXCEEDED
  // when it does not answer.
  void Probe(std::chrono::milliseconds timeout,
             std::function<void(absl::StatusOr<ModelInfo>)> done);

  // Ends every running call with this status: the group stopped answering.
  void FailRunning(const absl::Status& status);

  // Ends calls and probes, those that start from now on too: calls with this status, probes with
  // CANCELLED. Does not wait for them.
  void Stop(const absl::Status& status);

  const std::string& address() const;

  struct Shared;  // of the client and its calls; defined in the .cc

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace sluice::gateway
