// SPDX-License-Identifier: Apache-2.0
// HostDeviceCommunicator: a DeviceCommunicator over the CPU's collectives, for the emulator of CUDA
// (tests/cuda_emulation), whose device memory the host can read: each operation is a host function
// on the stream. So ranks are threads (or processes) of a machine without GPUs. Threads as
// DeviceCommunicator says; one stream at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/parallel/communicator.h"
#include "worker/parallel/device_communicator.h"

namespace sluice::worker {

class HostDeviceCommunicator final : public DeviceCommunicator {
 public:
  explicit HostDeviceCommunicator(std::unique_ptr<Communicator> target)
      : target_(std::move(target)) {}

  int rank() const override { return target_->rank(); }
  int world_size() const override { return target_->world_size(); }

  absl::Status AllReduceSum(float* data, int64_t count, cudaStream_t stream) override {
    return Enqueue(stream, [=](Communicator& target) {
      return target.AllReduceSum(std::span(data, static_cast<size_t>(count)));
    });
  }
  absl::Status GatherToRoot(const float* local, float* out, int64_t count,
                            cudaStream_t stream) override {
    if (rank() != 0 && out != nullptr) return absl::InvalidArgumentError("out is rank 0's alone");
    const auto size = static_cast<size_t>(count);
    const size_t all = rank() == 0 ? size * static_cast<size_t>(world_size()) : 0;
    return Enqueue(stream, [=](Communicator& target) {
      return target.Gather(std::span(local, size), std::span(out, all));
    });
  }
  absl::Status Broadcast(void* data, int64_t bytes, cudaStream_t stream) override {
    return Enqueue(stream, [=](Communicator& target) {
      return target.Broadcast(std::span(static_cast<std::byte*>(data), static_cast<size_t>(bytes)));
    });
  }
  absl::Status Check() override {
    const std::lock_guard lock(mutex_);
    return status_;
  }
  void Abort() override { target_->Abort(); }

 private:
  struct Operation {
    HostDeviceCommunicator* owner;
    std::function<absl::Status(Communicator&)> run;
  };

  absl::Status Enqueue(cudaStream_t stream, std::function<absl::Status(Communicator&)> run) {
    Operation* operation = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (!status_.ok()) return status_;
      // Kept: a graph may run it any number of times.
      operations_.push_back({this, std::move(run)});
      operation = &operations_.back();
    }
    const cudaError_t error = cudaLaunchHostFunc(
        stream, [](void* pointer) { Run(*static_cast<Operation*>(pointer)); }, operation);
    if (error == cudaSuccess) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("cudaLaunchHostFunc: ", cudaGetErrorString(error)));
  }

  static void Run(const Operation& operation) {
    const absl::Status status = operation.run(*operation.owner->target_);
    const std::lock_guard lock(operation.owner->mutex_);
    operation.owner->status_.Update(status);
  }

  const std::unique_ptr<Communicator> target_;
  std::mutex mutex_;
  absl::Status status_;               // the first error; guarded by mutex_
  std::deque<Operation> operations_;  // entries never move or change; guarded by mutex_
};

}  // namespace sluice::worker
