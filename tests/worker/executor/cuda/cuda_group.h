// SPDX-License-Identifier: Apache-2.0
// Groups of CudaExecutors for tests: on GPUs, or in the emulator of CUDA, where all ranks share the
// one device and their collectives go through the CPU's.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/worker/executor/executor_group.h"
#include "worker/executor/cuda/cuda_executor.h"
#include "worker/model/model_folder.h"
#ifdef SLUICE_CUDA_EMULATED
#include "tests/support/host_device_communicator.h"
#else
#include "worker/parallel/device_group.h"
#include "worker/parallel/nccl_environment.h"
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

  // Destroying NCCL's communicators is a collective, which hangs rank by rank.
  ~CudaGroup() {
    group_.reset();
    std::vector<std::thread> threads;
    for (auto& communicator : communicators_) {
      threads.emplace_back([&communicator] { communicator.reset(); });
    }
    for (std::thread& thread : threads) thread.join();
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
    if (tp_size == 1) {
      communicators_.push_back(std::make_unique<SingleDeviceCommunicator>());
      return;
    }
    for (const auto& entry : kNcclEnvironment) setenv(entry.name, entry.value, 0);
    const auto id = MakeDeviceGroupId();
    ASSERT_TRUE(id.ok()) << id.status();
    for (int rank = 0; rank < tp_size; ++rank) {
      auto communicator = StartDeviceCommunicator(/*device=*/rank, rank, tp_size, *id);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      communicators_.push_back(*std::move(communicator));
    }
  }
#endif

  std::vector<std::unique_ptr<DeviceCommunicator>> communicators_;
  std::unique_ptr<ExecutorGroup> group_;
};

}  // namespace sluice::worker
