// SPDX-License-Identifier: Apache-2.0
// The executors of one group for tests, all in this process. The test's thread is the engine loop
// of every rank; where there are several, each gets its calls on a thread of its own, since an
// executor may wait for its peers in Submit.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "worker/executor/cpu/cpu_executor.h"
#include "worker/executor/executor.h"
#include "worker/model/model_folder.h"
#include "worker/parallel/shared_memory_communicator.h"

namespace sluice::worker {

// Every plan goes to all ranks.
class ExecutorGroup {
 public:
  using MakeExecutor = std::function<absl::StatusOr<std::unique_ptr<Executor>>(int rank)>;

  // Calls make for all ranks at once.
  ExecutorGroup(int tp_size, const MakeExecutor& make) : executors_(static_cast<size_t>(tp_size)) {
    ForEachRank([&](size_t rank) {
      auto executor = make(static_cast<int>(rank));
      EXPECT_TRUE(executor.ok()) << executor.status();
      if (executor.ok()) executors_[rank] = *std::move(executor);
    });
    for (const auto& executor : executors_) {
      if (executor == nullptr) throw std::runtime_error("no group without all of its executors");
    }
  }

  // On the CPU, over the real communicators.
  static std::unique_ptr<ExecutorGroup> Make(const std::string& dir, int tp_size,
                                             const CpuExecutorOptions& options) {
    return Make({.dir = dir, .tp_size = tp_size}, options);
  }
  static std::unique_ptr<ExecutorGroup> Make(const ModelFolderOptions& folder_options,
                                             const CpuExecutorOptions& options) {
    const int tp_size = folder_options.tp_size;
    const auto folder = ModelFolder::Open(folder_options);
    EXPECT_TRUE(folder.ok()) << folder.status();
    std::vector<std::unique_ptr<Communicator>> communicators = MakeCommunicators(tp_size);
    auto group = std::make_unique<ExecutorGroup>(
        tp_size, [&](int rank) -> absl::StatusOr<std::unique_ptr<Executor>> {
          return CpuExecutor::Create(**folder, options,
                                     communicators[static_cast<size_t>(rank)].get());
        });
    group->communicators_ = std::move(communicators);
    return group;
  }

  static std::vector<std::unique_ptr<Communicator>> MakeCommunicators(int tp_size) {
    std::vector<std::unique_ptr<Communicator>> communicators;
    if (tp_size == 1) {
      communicators.push_back(std::make_unique<SingleRankCommunicator>());
      return communicators;
    }
    auto leader = SharedMemoryCommunicator::Create(tp_size, {});
    const std::string name = (*leader)->segment_name();
    communicators.push_back(*std::move(leader));
    for (int rank = 1; rank < tp_size; ++rank) {
      communicators.push_back(*SharedMemoryCommunicator::Open(name, rank, tp_size, {}));
    }
    return communicators;
  }

  void Submit(StepPlan plan) {
    plan.step = ++step_;
    ForEachRank([&](size_t rank) {
      StepPlan copy = plan;
      if (rank > 0) {
        for (RowAdd& add : copy.added) add.sampling = nullptr;
      }
      const absl::Status status = executors_[rank]->Submit(std::move(copy));
      EXPECT_TRUE(status.ok()) << status;
    });
  }

  // Rank 0's result.
  StepResult Collect() {
    ++collected_;
    StepResult result;
    ForEachRank([&](size_t rank) {
      auto collected = executors_[rank]->Collect(collected_);
      EXPECT_TRUE(collected.ok()) << collected.status();
      if (rank == 0 && collected.ok()) result = *std::move(collected);
    });
    return result;
  }

  Executor& executor(size_t rank) { return *executors_[rank]; }
  // Of a group on the CPU.
  Communicator& communicator(size_t rank) { return *communicators_[rank]; }

 private:
  void ForEachRank(const std::function<void(size_t rank)>& call) {
    std::vector<std::thread> others;
    for (size_t rank = 1; rank < executors_.size(); ++rank) others.emplace_back(call, rank);
    call(0);
    for (std::thread& thread : others) thread.join();
  }

  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<Executor>> executors_;
  StepId step_ = 0;
  StepId collected_ = 0;
};

}  // namespace sluice::worker
