// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scripted_worker_client.h"

namespace sluice::testing {

void ScriptedCall::Ids(std::vector<int32_t> ids, int choice, gateway::FinishReason finish,
                       std::optional<int32_t> stop_id) {
  gateway::TokenChunk chunk;
  chunk.choice = choice;
  chunk.ids = std::move(ids);
  chunk.finish = finish;
  chunk.stop_id = stop_id;
  Chunk(std::move(chunk));
}

void ScriptedCall::Done(absl::Status status) { observer_->OnDone(std::move(status)); }

std::optional<gateway::CancelReason> ScriptedCall::cancelled() const {
  const std::lock_guard<std::mutex> lock(mu_);
  return cancelled_;
}

std::vector<std::pair<int, int>> ScriptedCall::stops() const {
  const std::lock_guard<std::mutex> lock(mu_);
  return stops_;
}

void ScriptedCall::Cancel(gateway::CancelReason reason) {
  const std::lock_guard<std::mutex> lock(mu_);
  cancelled_ = reason;
}

void ScriptedCall::StopChoice(int choice, int completion_tokens) {
  const std::lock_guard<std::mutex> lock(mu_);
  stops_.emplace_back(choice, completion_tokens);
}

std::shared_ptr<gateway::GenerateCall> ScriptedWorkerClient::Generate(
    gateway::GenerateRequest request, std::shared_ptr<gateway::TokenObserver> observer) {
  auto call = std::make_shared<ScriptedCall>(std::move(request), std::move(observer));
  {
    const std::lock_guard<std::mutex> lock(mu_);
    calls_.push_back(call);
  }
  for (const gateway::TokenChunk& chunk : early_chunks) call->Chunk(chunk);
  return call;
}

std::vector<std::shared_ptr<ScriptedCall>> ScriptedWorkerClient::calls() const {
  const std::lock_guard<std::mutex> lock(mu_);
  return calls_;
}

void ScriptedWorkerClient::Forget() {
  const std::lock_guard<std::mutex> lock(mu_);
  calls_.clear();
}

}  // namespace sluice::testing
