// SPDX-License-Identifier: Apache-2.0
// PeerCommunicator: the collectives of a group whose GPUs may reach each other's memory. It sums
// over that memory wherever that is faster, and leaves the largest sums and everything else to
// another communicator (NCCL's), over which the ranks also exchange what they need to know of each
// other. Where the memory cannot be had on every rank, all of it goes that way.
//
// Threads as DeviceCommunicator says.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/parallel/all_reduce_path.h"
#include "worker/parallel/device_communicator.h"
#include "worker/parallel/peer_memory.h"

namespace sluice::worker {

struct PeerOptions {
  AllReduceMode mode = AllReduceMode::kAuto;
  int64_t buffer_bytes = int64_t{64} << 20;  // of each of the kPeerBuffers
  int device = 0;                            // CUDA ordinal of this rank
};

class PeerCommunicator final : public DeviceCommunicator {
 public:
  PeerCommunicator(std::unique_ptr<DeviceCommunicator> target, const PeerOptions& options);
  // As the target's: returns at once unless the group is well.
  ~PeerCommunicator() override;
  PeerCommunicator(const PeerCommunicator&) = delete;
  PeerCommunicator& operator=(const PeerCommunicator&) = delete;

  int rank() const override { return target_->rank(); }
  int world_size() const override { return target_->world_size(); }
  // Ready means, too, that sums over peers have given the right values, or that all ranks know that
  // there will be none. FAILED_PRECONDITION where --all-reduce asks for what cannot be had.
  absl::Status WaitReady() override;
  absl::Status AllReduceSum(float* data, int64_t count, cudaStream_t stream) override;
  absl::Status AllReduceLinear(const kernels::awq::LinearOutput& part, float* out,
                               cudaStream_t stream) override;
  // Where ChooseNormPath says so.
  absl::StatusOr<std::optional<kernels::awq::RowScale>> AllReduceScaledNorm(
      const kernels::awq::LinearOutput& part, const kernels::collective::ScaledNorm& norm,
      cudaStream_t stream) override;
  // Likewise.
  absl::StatusOr<bool> AllReduceAddRmsNorm(const kernels::norm::AddRmsNorm& norm,
                                           cudaStream_t stream) override;
  absl::Status GatherToRoot(const float* local, float* out, int64_t count,
                            cudaStream_t stream) override {
    return target_->GatherToRoot(local, out, count, stream);
  }
  absl::Status Broadcast(void* data, int64_t bytes, cudaStream_t stream) override {
    return target_->Broadcast(data, bytes, stream);
  }
  absl::Status Check() override { return target_->Check(); }
  void Abort() override;
  std::string Describe() const override;

  // The same on a path that is given: for benches and tests. REQUIRES: where that is one-shot, its
  // buffers hold it.
  absl::Status AllReduceOn(AllReducePath path, const kernels::awq::LinearOutput& part, float* out,
                           cudaStream_t stream);
  // Which way norms take from now on, where their shape allows it: for benches and tests.
  void PreferNormPath(NormPath path) { preferred_norm_path_ = path; }
  // Once WaitReady has returned.
  bool has_peers() const { return ready_; }

 private:
  // OK where the ranks know of each other, whether or not they reach each other's memory.
  absl::Status Meet();
  // By rank, what each has brought.
  absl::Status Exchange(const PeerCard& own, std::vector<PeerCard>* all);
  // Whether it is true on all ranks.
  absl::Status All(bool own, bool* all);
  absl::Status TrySums();
  AllReducePath PathOf(int64_t count) const;
  NormPath NormPathOf(int rows, int width) const;

  std::unique_ptr<DeviceCommunicator> target_;
  const PeerOptions options_;

  // Set in WaitReady, constant afterwards.
  int num_sms_ = 0;     // of the rank that has the fewest
  bool ready_ = false;  // sums over peers work, on all ranks
  absl::Status why_not_;
  device::DeviceBuffer scratch_;
  cudaStream_t stream_ = nullptr;

  std::optional<NormPath> preferred_norm_path_;

  std::mutex mutex_;
  std::atomic<bool> aborted_{false};    // set under mutex_
  std::unique_ptr<PeerMemory> memory_;  // set under mutex_, in WaitReady
};

}  // namespace sluice::worker
