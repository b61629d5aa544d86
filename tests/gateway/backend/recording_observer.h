// SPDX-License-Identifier: Apache-2.0
// A TokenObserver that keeps what it is told, and lets the test wait for the end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/backend/worker_client.h"

namespace sluice::gateway {

class RecordingObserver : public TokenObserver {
 public:
  void OnChunk(TokenChunk chunk) override {
    std::lock_guard<std::mutex> lock(mu_);
    chunks_.push_back(std::move(chunk));
    changed_.notify_all();
  }
  void OnDone(absl::Status status) override {
    std::lock_guard<std::mutex> lock(mu_);
    ++ends_;
    status_ = std::move(status);
    changed_.notify_all();
  }

  // The final status; INTERNAL when it does not come, or came twice.
  absl::Status AwaitDone() {
    std::unique_lock<std::mutex> lock(mu_);
    if (!changed_.wait_for(lock, std::chrono::seconds(60), [this] { return ends_ > 0; })) {
      return absl::InternalError("the observer's OnDone did not come within a minute");
    }
    if (ends_ > 1) return absl::InternalError("OnDone came twice");
    return status_;
  }
  int ends() {
    std::lock_guard<std::mutex> lock(mu_);
    return ends_;
  }
  bool AwaitChunks(size_t n) {
    std::unique_lock<std::mutex> lock(mu_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return chunks_.size() >= n; });
  }
  std::vector<TokenChunk> chunks() {
    std::lock_guard<std::mutex> lock(mu_);
    return chunks_;
  }
  std::vector<TokenId> ids(int choice = 0) {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<TokenId> ids;
    for (const TokenChunk& chunk : chunks_) {
      if (chunk.choice == choice) ids.insert(ids.end(), chunk.ids.begin(), chunk.ids.end());
    }
    return ids;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<TokenChunk> chunks_;
  int ends_ = 0;
  absl::Status status_;
};

}  // namespace sluice::gateway
