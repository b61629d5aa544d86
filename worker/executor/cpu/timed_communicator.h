// SPDX-License-Identifier: Apache-2.0
// TimedCommunicator: passes collectives on and adds up the time they take, waiting for peers
// included: the share of a step that is not this rank's own work. Used by the step thread; Abort
// from any.
#pragma once

#include <chrono>
#include <utility>

#include "worker/parallel/communicator.h"

namespace sluice::worker {

class TimedCommunicator final : public Communicator {
 public:
  explicit TimedCommunicator(Communicator* target) : target_(*target) {}

  // The time since the last call.
  std::chrono::nanoseconds TakeElapsed() { return std::exchange(elapsed_, {}); }

  int rank() const override { return target_.rank(); }
  int world_size() const override { return target_.world_size(); }
  absl::Status AllReduceSum(std::span<float> data) override {
    return Timed([&] { return target_.AllReduceSum(data); });
  }
  absl::Status Gather(std::span<const float> local, std::span<float> out) override {
    return Timed([&] { return target_.Gather(local, out); });
  }
  absl::Status Broadcast(std::span<std::byte> data) override {
    return Timed([&] { return target_.Broadcast(data); });
  }
  void Abort() override { target_.Abort(); }

 private:
  template <typename Collective>
  absl::Status Timed(Collective collective) {
    const auto start = std::chrono::steady_clock::now();
    absl::Status status = collective();
    elapsed_ += std::chrono::steady_clock::now() - start;
    return status;
  }

  Communicator& target_;
  std::chrono::nanoseconds elapsed_{0};
};

}  // namespace sluice::worker
