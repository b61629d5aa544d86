// SPDX-License-Identifier: Apache-2.0
// EngineService: sluice.worker.v1.Engine over the callback API. Until the engine is set, calls are
// answered UNAVAILABLE, so that the port may listen while weights load. Owned by the leader; gRPC's
// threads call it.
#pragma once

#include <atomic>

#include "sluice/worker/v1/engine.grpc.pb.h"
#include "worker/engine/engine.h"

namespace sluice::worker {

class EngineService final : public v1::Engine::CallbackService {
 public:
  explicit EngineService(v1::ModelInfo info) : info_(std::move(info)) {}

  // From now on requests run. The engine must outlive the server. num_pages: what the group has, now
  // that it is known.
  void SetEngine(Engine* engine, int num_pages) {
    info_.set_num_pages(static_cast<uint32_t>(num_pages));
    engine_.store(engine, std::memory_order_release);
  }

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext* context,
                                   const v1::CancelRequest* request,
                                   v1::CancelResponse* response) override;
  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const v1::GetModelInfoRequest* request,
                                         v1::ModelInfo* response) override;

 private:
  // Pairs with SetEngine: whoever sees the engine sees it started.
  Engine* engine() const { return engine_.load(std::memory_order_acquire); }

  v1::ModelInfo info_;  // constant once the engine is set; not read before
  std::atomic<Engine*> engine_{nullptr};
};

}  // namespace sluice::worker
