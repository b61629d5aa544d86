// SPDX-License-Identifier: Apache-2.0
// NormCounter: passes everything on to a communicator, and counts the sums that were normed by it.
// It can send those of many rows by rows, which take more bytes than a small model has.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "worker/parallel/all_reduce_path.h"
#include "worker/parallel/device_communicator.h"
#include "worker/parallel/peer_communicator.h"

namespace sluice::worker {

class NormCounter final : public DeviceCommunicator {
 public:
  // by_rows_from: so many rows; 0: as the target chooses.
  NormCounter(std::unique_ptr<DeviceCommunicator> target, int by_rows_from)
      : target_(std::move(target)), by_rows_from_(by_rows_from) {}

  // Of both kinds. Read while the rank runs no step.
  int num_scaled() const { return num_scaled_; }
  int num_by_rows() const { return num_by_rows_; }

  int rank() const override { return target_->rank(); }
  int world_size() const override { return target_->world_size(); }
  absl::Status WaitReady() override { return target_->WaitReady(); }
  absl::Status AllReduceSum(float* data, int64_t count, cudaStream_t stream) override {
    return target_->AllReduceSum(data, count, stream);
  }
  absl::Status AllReduceLinear(const kernels::awq::LinearOutput& part, float* out,
                               cudaStream_t stream) override {
    return target_->AllReduceLinear(part, out, stream);
  }
  absl::StatusOr<std::optional<kernels::awq::RowScale>> AllReduceScaledNorm(
      const kernels::awq::LinearOutput& part, const kernels::collective::ScaledNorm& norm,
      cudaStream_t stream) override {
    Steer(part.rows);
    auto scale = target_->AllReduceScaledNorm(part, norm, stream);
    if (scale.ok() && scale->has_value()) ++num_scaled_;
    return scale;
  }
  absl::StatusOr<bool> AllReduceAddRmsNorm(const kernels::norm::AddRmsNorm& norm,
                                           cudaStream_t stream) override {
    Steer(norm.rows);
    auto taken = target_->AllReduceAddRmsNorm(norm, stream);
    if (taken.ok() && *taken) ++num_by_rows_;
    return taken;
  }
  absl::Status GatherToRoot(const float* local, float* out, int64_t count,
                            cudaStream_t stream) override {
    return target_->GatherToRoot(local, out, count, stream);
  }
  absl::Status Broadcast(void* data, int64_t bytes, cudaStream_t stream) override {
    return target_->Broadcast(data, bytes, stream);
  }
  absl::Status Check() override { return target_->Check(); }
  void Abort() override { target_->Abort(); }
  std::string Describe() const override { return target_->Describe(); }

 private:
  void Steer(int rows) {
    auto* const peers = dynamic_cast<PeerCommunicator*>(target_.get());
    if (by_rows_from_ == 0 || peers == nullptr) return;
    peers->PreferNormPath(rows < by_rows_from_ ? NormPath::kScaled : NormPath::kByRows);
  }

  const std::unique_ptr<DeviceCommunicator> target_;
  const int by_rows_from_;
  int num_scaled_ = 0;
  int num_by_rows_ = 0;
};

}  // namespace sluice::worker
