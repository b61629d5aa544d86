// SPDX-License-Identifier: Apache-2.0
// ScriptedWorkerClient: a WorkerClient without a worker. It records every call; the test plays the
// worker: it sends chunks and the end by hand, from whatever thread it likes. Thread safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/backend/worker_client.h"

namespace sluice::testing {

class ScriptedCall final : public gateway::GenerateCall {
 public:
  ScriptedCall(gateway::GenerateRequest request, std::shared_ptr<gateway::TokenObserver> observer)
      : request_(std::move(request)), observer_(std::move(observer)) {}

  // The worker's side.
  void Chunk(gateway::TokenChunk chunk) { observer_->OnChunk(std::move(chunk)); }
  void Ids(std::vector<int32_t> ids, int choice = 0,
           gateway::FinishReason finish = gateway::FinishReason::kNone,
           std::optional<int32_t> stop_id = std::nullopt);
  void Done(absl::Status status = absl::OkStatus());

  const gateway::GenerateRequest& request() const { return request_; }
  std::optional<gateway::CancelReason> cancelled() const;
  // choice, completion_tokens
  std::vector<std::pair<int, int>> stops() const;

  // The gateway's side.
  void Cancel(gateway::CancelReason reason) override;
  void StopChoice(int choice, int completion_tokens) override;

 private:
  const gateway::GenerateRequest request_;
  // Kept to the end, as a client may: the session must not need more than OnDone to be let go.
  const std::shared_ptr<gateway::TokenObserver> observer_;
  mutable std::mutex mu_;
  std::optional<gateway::CancelReason> cancelled_;
  std::vector<std::pair<int, int>> stops_;
};

class ScriptedWorkerClient final : public gateway::WorkerClient {
 public:
  std::shared_ptr<gateway::GenerateCall> Generate(
      gateway::GenerateRequest request, std::shared_ptr<gateway::TokenObserver> observer) override;
  absl::StatusOr<gateway::ModelInfo> GetModelInfo() const override { return info; }

  std::vector<std::shared_ptr<ScriptedCall>> calls() const;
  // Drops the calls; who else holds them goes on.
  void Forget();

  absl::StatusOr<gateway::ModelInfo> info = gateway::ModelInfo();  // set before use
  // Chunks that arrive before Generate has returned, for each call. Set before use.
  std::vector<gateway::TokenChunk> early_chunks;

 private:
  mutable std::mutex mu_;
  std::vector<std::shared_ptr<ScriptedCall>> calls_;
};

}  // namespace sluice::testing
