// SPDX-License-Identifier: Apache-2.0
// NormCounter: passes everything on to a communicator, and counts the sums that were normed by it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "worker/parallel/device_communicator.h"

namespace sluice::worker {

class NormCounter final : public DeviceCommunicator {
 public:
  explicit NormCounter(std::unique_ptr<DeviceCommunicator> target) : target_(std::move(target)) {}

  // Read once the rank has ended its steps.
  int num_normed() const { return num_normed_; }

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
    auto scale = target_->AllReduceScaledNorm(part, norm, stream);
    if (scale.ok() && scale->has_value()) ++num_normed_;
    return scale;
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
  const std::unique_ptr<DeviceCommunicator> target_;
  int num_normed_ = 0;
};

}  // namespace sluice::worker
