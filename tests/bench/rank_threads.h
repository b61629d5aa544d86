// SPDX-License-Identifier: Apache-2.0
// The ranks of a group but the leader as threads of one process, each with the executor of its GPU;
// to the engine what the worker's streams to other processes are.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/base/step_plan.h"
#include "worker/engine/rank_group.h"
#include "worker/executor/executor.h"

namespace sluice::worker {

// The engine's thread calls. A step that fails ends the program.
class RankThreads final : public RankGroup {
 public:
  explicit RankThreads(std::vector<Executor*> executors) {
    for (Executor* executor : executors) {
      ranks_.push_back(std::make_unique<Rank>());
      Rank* rank = ranks_.back().get();
      rank->thread = std::thread([this, rank, executor] { Loop(rank, executor); });
    }
  }
  ~RankThreads() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (const auto& rank : ranks_) rank->thread.join();
  }

  absl::Status Send(const StepPlan& plan) override {
    StepPlan copy = plan;
    for (RowAdd& add : copy.added) add.sampling = nullptr;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& rank : ranks_) rank->plans.push_back(copy);
    }
    changed_.notify_all();
    return absl::OkStatus();
  }
  StepId LastStepDoneByAll() const override {
    const std::lock_guard lock(mutex_);
    StepId last = kMaxStep;
    for (const auto& rank : ranks_) last = std::min(last, rank->done);
    return last;
  }
  absl::Status Health() const override { return absl::OkStatus(); }

 private:
  struct Rank {
    std::deque<StepPlan> plans;  // as done, guarded by mutex_
    StepId done = 0;
    std::thread thread;
  };

  void Loop(Rank* rank, Executor* executor) {
    for (;;) {
      StepPlan plan;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || !rank->plans.empty(); });
        if (rank->plans.empty()) return;
        plan = std::move(rank->plans.front());
        rank->plans.pop_front();
      }
      const StepId step = plan.step;
      absl::Status status = executor->Submit(std::move(plan));
      if (status.ok()) status = executor->Collect(step).status();
      if (!status.ok()) {
        std::fprintf(stderr, "a rank: %s\n", std::string(status.message()).c_str());
        std::exit(1);
      }
      const std::lock_guard lock(mutex_);
      rank->done = step;
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

}  // namespace sluice::worker
