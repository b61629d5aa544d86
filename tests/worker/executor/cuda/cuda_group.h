// SPDX-License-Identifier: Apache-2.0
// Groups of CudaExecutors for tests: on GPUs, or in the emulator of CUDA, where all ranks share the
// one device and their collectives go through the CPU's.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/device_communicators.h"
#include "tests/worker/executor/executor_group.h"
#include "worker/executor/cuda/cuda_executor.h"
#include "worker/model/model_folder.h"
#ifdef SLUICE_CUDA_EMULATED
#include "tests/support/host_device_communicator.h"
#endif

namespace sluice::worker {

#ifdef SLUICE_CUDA_EMULATED
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

// Whether there is a device for every rank.
inline bool HasDevices(int tp_size) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return false;
  return kEmulated ? count > 0 : count >= tp_size;
}

class CudaGroup {
 public:
  // options.device_index is chosen here.
  CudaGroup(const ModelFolderOptions& folder_options, CudaExecutorOptions options) {
    const int tp_size = folder_options.tp_size;
    const auto folder = ModelFolder::Open(folder_options);
    EXPECT_TRUE(folder.ok()) << folder.status();
    MakeCommunicators(tp_size);
    group_ = std::make_unique<ExecutorGroup>(
        tp_size, [&](int rank) -> absl::StatusOr<std::unique_ptr<Executor>> {
          CudaExecutorOptions own = options;
          own.device_index = kEmulated ? 0 : rank;
          auto executor =
              CudaExecutor::Create(**folder, own, communicators_[static_cast<size_t>(rank)].get());
          if (!executor.ok()) return executor.status();
          return std::unique_ptr<Executor>(*std::move(executor));
        });
  }

  ~CudaGroup() {
    group_.reset();
    EndDeviceCommunicators(std::move(communicators_));
  }
  CudaGroup(const CudaGroup&) = delete;
  CudaGroup& operator=(const CudaGroup&) = delete;

  ExecutorGroup& group() { return *group_; }

 private:
#ifdef SLUICE_CUDA_EMULATED
  void MakeCommunicators(int tp_size) {
    for (auto& communicator : ExecutorGroup::MakeCommunicators(tp_size)) {
      communicators_.push_back(std::make_unique<HostDeviceCommunicator>(std::move(communicator)));
    }
  }
#else
  void MakeCommunicators(int tp_size) {
    auto communicators = StartDeviceCommunicators(tp_size);
    ASSERT_TRUE(communicators.ok()) << communicators.status();
    communicators_ = *std::move(communicators);
  }
#endif

  std::vector<std::unique_ptr<DeviceCommunicator>> communicators_;
  std::unique_ptr<ExecutorGroup> group_;
};

}  // namespace sluice::worker
