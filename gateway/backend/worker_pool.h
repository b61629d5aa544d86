// SPDX-License-Identifier: Apache-2.0
// WorkerPool: the worker groups behind one WorkerClient. It probes each group about once a second,
// uses the ready ones by least load, leaves a failing one out until a probe succeeds again, and
// never uses a group whose tokenizer differs from the gateway's. A request that has not started
// moves to another group by itself. Owned by main; every method is thread safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/backend/worker_addresses.h"
#include "gateway/backend/worker_client.h"

namespace sluice::gateway {

// Something about a group changed; for logs and metrics.
struct WorkerGroupEvent {
  // kAwaited: it has not been ready yet, as at every start; kEjected: it was, or was refused.
  enum class Kind { kReady, kAwaited, kEjected, kRefused, kRemoved };
  Kind kind = Kind::kReady;
  std::string address;
  std::string detail;  // one sentence: what it serves, or why it is not used
};

struct WorkerPoolOptions {
  WorkerAddresses addresses;
  // What the gateway's own model folder has; a group that differs is refused.
  std::string tokenizer_sha256;
  int vocab_size = 0;

  std::chrono::milliseconds probe_period{1000};
  std::chrono::milliseconds probe_timeout{5000};
  std::chrono::milliseconds resolve_period{5000};
  // A refused connection ejects at once; silence only when it lasts, for the host may be busy.
  int silent_probes_to_eject = 2;
  int silent_probes_to_fail_calls = 6;
  // Called on threads of the pool and of gRPC, one call at a time; must not block or call the pool.
  std::function<void(const WorkerGroupEvent&)> on_event;
  // Whether any group is ready, whenever that changes from what it was (at first: none is); under
  // the same terms. GetModelInfo shows the change only after this has returned.
  std::function<void(bool ready)> on_readiness;
};

struct WorkerPoolStats {
  int known_groups = 0;
  int ready_groups = 0;
  int running_calls = 0;
  int64_t ejections = 0;
  int64_t retries = 0;  // calls that moved to another group before they started
};

class WorkerPool : public WorkerClient {
 public:
  explicit WorkerPool(WorkerPoolOptions options);
  // Stops.
  ~WorkerPool() override;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // With no group ready, OnDone brings UNAVAILABLE at once, on a thread of the pool. When every
  // ready group refuses, RESOURCE_EXHAUSTED with the shortest waiting time if any of them is full.
  std::shared_ptr<GenerateCall> Generate(GenerateRequest request,
                                         std::shared_ptr<TokenObserver> observer) override;

  // What the ready groups have in common: the smallest max_model_len, the sum of max_num_seqs.
  // UNAVAILABLE, with each group's trouble, when none is ready.
  absl::StatusOr<ModelInfo> GetModelInfo() const override;

  WorkerPoolStats stats() const;

  // Ends every running call with this status (the drain is over).
  void FailRunning(const absl::Status& status);

  // Stops probing and ends what runs with UNAVAILABLE. When it returns, every observer has had its
  // OnDone, and nothing of the pool calls anything any more. No Generate after it; repeatable.
  void Stop();

  class State;  // shared with running calls; defined in the .cc

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace sluice::gateway
