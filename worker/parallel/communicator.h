// SPDX-License-Identifier: Apache-2.0
// Communicator: the collectives of one tensor-parallel group, seen from one rank. All ranks call
// the same operations in the same order with the same sizes. One thread per rank calls; Abort may
// come from any thread. Reductions run as a balanced binary tree over ranks ((r0+r1)+(r2+r3)), so
// that their bits continue the tree a linear sums its K slices in and do not depend on the number
// of ranks.
#pragma once

#include <cstddef>
#include <span>

#include "absl/status/status.h"

namespace sluice::worker {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // data becomes the sum over ranks, elementwise, on every rank.
  virtual absl::Status AllReduceSum(std::span<float> data) = 0;

  // Rank 0's out ([world_size][local.size()]) receives every rank's local; other ranks pass an
  // empty out.
  virtual absl::Status Gather(std::span<const float> local, std::span<float> out) = 0;

  // Every rank's data becomes rank 0's.
  virtual absl::Status Broadcast(std::span<std::byte> data) = 0;

  // Makes this rank's and its peers' current and future calls return CANCELLED. Thread safe.
  virtual void Abort() = 0;
};

// For tp-size 1.
class SingleRankCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  absl::Status AllReduceSum(std::span<float>) override { return absl::OkStatus(); }
  absl::Status Gather(std::span<const float> local, std::span<float> out) override;
  absl::Status Broadcast(std::span<std::byte>) override { return absl::OkStatus(); }
  void Abort() override {}
};

}  // namespace sluice::worker
