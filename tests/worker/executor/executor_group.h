// SPDX-License-Identifier: Apache-2.0
// The executors of one group for tests, all in this process, over the real communicators. The
// test's thread is the engine loop of every rank.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/executor/cpu/cpu_executor.h"
#include "worker/model/model_folder.h"
#include "worker/parallel/shared_memory_communicator.h"

namespace sluice::worker {

// Every plan goes to all ranks.
class ExecutorGroup {
 public:
  static std::unique_ptr<ExecutorGroup> Make(const std::string& dir, int tp_size,
                                             CpuExecutorOptions options) {
    auto group = std::make_unique<ExecutorGroup>();
    const auto folder = ModelFolder::Open({.dir = dir, .tp_size = tp_size});
    EXPECT_TRUE(folder.ok()) << folder.status();
    if (tp_size == 1) {
      group->communicators_.push_back(std::make_unique<SingleRankCommunicator>());
    } else {
      auto leader = SharedMemoryCommunicator::Create(tp_size, {});
      const std::string name = (*leader)->segment_name();
      group->communicators_.push_back(*std::move(leader));
      for (int rank = 1; rank < tp_size; ++rank) {
        group->communicators_.push_back(*SharedMemoryCommunicator::Open(name, rank, tp_size, {}));
      }
    }
    for (const auto& communicator : group->communicators_) {
      auto executor = CpuExecutor::Create(**folder, options, communicator.get());
      EXPECT_TRUE(executor.ok()) << executor.status();
      group->executors_.push_back(*std::move(executor));
    }
    return group;
  }

  void Submit(StepPlan plan) {
    plan.step = ++step_;
    for (size_t rank = 0; rank < executors_.size(); ++rank) {
      StepPlan copy = plan;
      if (rank > 0) {
        for (RowAdd& add : copy.added) add.sampling = nullptr;
      }
      ASSERT_TRUE(executors_[rank]->Submit(std::move(copy)).ok());
    }
  }

  // Rank 0's result.
  StepResult Collect() {
    ++collected_;
    StepResult result;
    for (size_t rank = 0; rank < executors_.size(); ++rank) {
      auto collected = executors_[rank]->Collect(collected_);
      EXPECT_TRUE(collected.ok()) << collected.status();
      if (rank == 0 && collected.ok()) result = *std::move(collected);
    }
    return result;
  }

  CpuExecutor& executor(size_t rank) { return *executors_[rank]; }
  Communicator& communicator(size_t rank) { return *communicators_[rank]; }

 private:
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<CpuExecutor>> executors_;
  StepId step_ = 0;
  StepId collected_ = 0;
};

}  // namespace sluice::worker
