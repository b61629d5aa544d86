// SPDX-License-Identifier: Apache-2.0
// SharedMemoryCommunicator: collectives of ranks on one host. Every rank copies its operand into a
// slot of a shared segment, waits until all have, and reduces all slots itself in the fixed tree
// order: at the sizes of a decode step that is one copy and one wait. Waiting spins briefly, then
// sleeps on a futex, since ranks may outnumber cores.
//
// The segment is a memfd of the leader's process, so nothing is left in /dev/shm whatever way a
// group ends: it lives as long as a process holds it. The others reach it through /proc, which
// needs the same user and the same PID namespace; the collectives need one host anyway.
//
// One thread per rank calls; Abort may come from any thread. A rank that dies does not say so: its
// peers return when one of them is aborted, or after Options::timeout.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/parallel/communicator.h"

namespace sluice::worker {

struct SharedMemoryOptions {
  // Longer operands go through in pieces of this size.
  size_t slot_bytes = size_t{1} << 20;
  // A collective that waits longer for a peer fails with DEADLINE_EXCEEDED; zero waits forever.
  std::chrono::milliseconds timeout{0};
};

class SharedMemoryCommunicator final : public Communicator {
 public:
  // Rank 0 makes the segment. REQUIRES: 2 <= world_size <= kMaxWorldSize.
  static absl::StatusOr<std::unique_ptr<SharedMemoryCommunicator>> Create(
      int world_size, const SharedMemoryOptions& options);
  // The other ranks open it by the name that rank 0's segment_name() gave. Fails when the segment
  // cannot be reached or is another group's, or when the rank was taken already.
  static absl::StatusOr<std::unique_ptr<SharedMemoryCommunicator>> Open(
      const std::string& segment_name, int rank, int world_size,
      const SharedMemoryOptions& options);
  ~SharedMemoryCommunicator() override;
  SharedMemoryCommunicator(const SharedMemoryCommunicator&) = delete;
  SharedMemoryCommunicator& operator=(const SharedMemoryCommunicator&) = delete;

  static constexpr int kMaxWorldSize = 64;

  // What the other ranks pass to Open: "/proc/PID/fd/N:NONCE". Empty on them.
  const std::string& segment_name() const { return segment_name_; }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }
  absl::Status AllReduceSum(std::span<float> data) override;
  absl::Status Gather(std::span<const float> local, std::span<float> out) override;
  absl::Status Broadcast(std::span<std::byte> data) override;
  void Abort() override;

 private:
  struct Segment;

  SharedMemoryCommunicator(int rank, int world_size, const SharedMemoryOptions& options, int fd,
                           Segment* segment);

  // Starts an operation: copies bytes (none when size is 0) into this rank's slot and tells the
  // peers. Waits first until the slot is free: the operation before the last one may still be being
  // read.
  absl::Status Publish(const void* bytes, size_t size);
  // Until the peer has published the operation.
  absl::Status Await(int peer, uint32_t operation);
  absl::Status AwaitAll(uint32_t operation);
  absl::Status Sleep(int peer, uint32_t operation);
  // The rank's slot of the current operation.
  std::byte* Slot(int rank) const;
  // out[i] = the balanced-tree sum over ranks [first, first + count) of their slots' floats [begin,
  // begin + size).
  void SumTree(int first, int count, size_t begin, size_t size, float* out) const;

  const int rank_;
  const int world_size_;
  const SharedMemoryOptions options_;
  const int spins_;
  const int fd_;  // rank 0 keeps it open for the others to reach through /proc; -1 on them
  Segment* const segment_;
  std::string segment_name_;
  uint32_t operation_ = 0;  // counts up and wraps; equal on all ranks
};

}  // namespace sluice::worker
