// SPDX-License-Identifier: Apache-2.0
// Groups of CudaExecutors for tests: on GPUs, or in the emulator of CUDA, which has one for each
// rank as well.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/device_communicators.h"
#include "tests/support/norm_counter.h"
#include "tests/worker/executor/executor_group.h"
#include "worker/executor/cuda/cuda_executor.h"
#include "worker/model/model_folder.h"
#ifdef SLUICE_CUDA_EMULATED
#include "tests/support/emulated_communicators.h"
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

// Rows of a step whose norms a rank makes for all; on GPUs their bytes decide.
inline constexpr int kByRowsFrom = kEmulated ? 200 : 0;

class CudaGroup {
 public:
  // options.device_index is chosen here.
  CudaGroup(const ModelFolderOptions& folder_options, CudaExecutorOptions options) {
    const int tp_size = folder_options.tp_size;
    const auto folder = ModelFolder::Open(folder_options);
    EXPECT_TRUE(folder.ok()) << folder.status();
#ifdef SLUICE_CUDA_EMULATED
    // Ranks sum and norm in one kernel for as many rows as there are multiprocessors: enough for
    // the linears of few rows and of more. Then apart, and from kByRowsFrom on by rows.
    cuda_emulation::TheSettings().num_sms = tp_size == 1 ? 4 : 16;
#endif
    MakeCommunicators(tp_size);
    if (!folder.ok() || communicators_.by_rank.size() != static_cast<size_t>(tp_size)) {
      throw std::runtime_error("no model or no communicators");
    }
    group_ = std::make_unique<ExecutorGroup>(
        tp_size, [&](int rank) -> absl::StatusOr<std::unique_ptr<Executor>> {
          CudaExecutorOptions own = options;
          own.device_index = rank;
          auto executor = CudaExecutor::Create(
              **folder, own, communicators_.by_rank[static_cast<size_t>(rank)].get());
          if (!executor.ok()) return executor.status();
          return std::unique_ptr<Executor>(*std::move(executor));
        });
    const std::string sums = communicators_.by_rank[0]->Describe();
    over_peers_ = sums.find("the GPUs' peer memory") != std::string::npos;
    EXPECT_TRUE(over_peers_ == (tp_size > 1) || !kEmulated) << sums;
    // Each size of a decode step has run to be captured.
    EXPECT_EQ(rank0_->num_scaled() > 0, over_peers_) << "norms that are part of sums";
  }
  CudaGroup(const CudaGroup&) = delete;
  CudaGroup& operator=(const CudaGroup&) = delete;

  ExecutorGroup& group() { return *group_; }
  bool over_peers() const { return over_peers_; }
  // Between steps.
  int num_by_rows() const { return rank0_->num_by_rows(); }

 private:
  void MakeCommunicators(int tp_size) {
#ifdef SLUICE_CUDA_EMULATED
    auto communicators = StartEmulatedCommunicators(tp_size);
#else
    auto communicators = StartDeviceCommunicators(tp_size);
#endif
    ASSERT_TRUE(communicators.ok()) << communicators.status();
    for (auto& communicator : *communicators) {
      auto counter = std::make_unique<NormCounter>(std::move(communicator), kByRowsFrom);
      if (rank0_ == nullptr) rank0_ = counter.get();
      communicators_.by_rank.push_back(std::move(counter));
    }
  }

  // Ended all at once, after the group and also where that could not be made.
  struct Communicators {
    ~Communicators() { EndDeviceCommunicators(std::move(by_rank)); }
    std::vector<std::unique_ptr<DeviceCommunicator>> by_rank;
  };
  Communicators communicators_;
  const NormCounter* rank0_ = nullptr;  // among them
  bool over_peers_ = false;
  std::unique_ptr<ExecutorGroup> group_;
};

}  // namespace sluice::worker
