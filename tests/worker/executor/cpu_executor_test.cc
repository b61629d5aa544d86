// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cpu/cpu_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/worker/model/model_runner.h"
#include "worker/parallel/shared_memory_communicator.h"

namespace sluice::worker {
namespace {

constexpr int kVocab = 2048;
constexpr int kPromptTokens = 64;

// A group of executors, one a rank, on threads' worth of communicators; every plan goes to all
// ranks.
class Group {
 public:
  static std::unique_ptr<Group> Make(const std::string& checkpoint, int tp_size,
                                     CpuExecutorOptions options) {
    auto group = std::make_unique<Group>();
    const auto folder = ModelFolder::Open({.dir = ParityDir(checkpoint), .tp_size = tp_size});
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

 private:
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<CpuExecutor>> executors_;
  StepId step_ = 0;
  StepId collected_ = 0;
};

CpuExecutorOptions SmallOptions() {
  return {.num_pages = 64, .max_rows = 8, .max_batched_tokens = 512, .threads = 1};
}

RowAdd Greedy(RowId row) {
  auto sampling = std::make_shared<RowAdd::Sampling>();
  sampling->params.temperature = 0.0f;
  return {.row = row, .sampling = std::move(sampling)};
}

// Prefills the prompt into row 0 and decodes greedily, the next step always submitted before the
// last is collected.
std::vector<TokenId> Generate(Group* group, const std::vector<TokenId>& prompt, int count) {
  StepPlan prefill;
  prefill.added = {Greedy(0)};
  prefill.pages = {{.row = 0, .pages = {3, 1}}};
  prefill.rows = {{.row = 0, .ids = prompt, .sample = true}};
  group->Submit(prefill);
  std::vector<TokenId> ids;
  for (int i = 1; i < count; ++i) {
    StepPlan decode;
    decode.rows = {{.row = 0, .ids = {}, .sample = true}};
    group->Submit(decode);
    ids.push_back(group->Collect().samples.at(0).id);
  }
  ids.push_back(group->Collect().samples.at(0).id);
  StepPlan release;
  release.released_rows = {0};
  group->Submit(release);
  group->Collect();
  return ids;
}

TEST(CpuExecutorTest, GreedyIdsEqualTheModelsOwn) {
  auto group = Group::Make("plain_tied", 1, SmallOptions());
  const std::vector<TokenId> prompt = RandomIds(1, kPromptTokens, kVocab);
  const std::vector<TokenId> ids = Generate(group.get(), prompt, 8);
  // The same ids, forced through the model in one go.
  std::vector<TokenId> all = prompt;
  all.insert(all.end(), ids.begin(), ids.end());
  const auto logits = RunModel({.dir = ParityDir("plain_tied"), .prompts = {all}});
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(ids[i], ArgMax(&logits[0][(kPromptTokens - 1 + i) * kVocab], kVocab)) << i;
  }
}

TEST(CpuExecutorTest, TensorParallelSizesGiveTheSameGreedyIds) {
  constexpr int kPrompts = 20;
  std::vector<std::vector<TokenId>> expected;
  for (const int tp_size : {1, 2, 4}) {
    auto group = Group::Make("grouped_untied", tp_size, SmallOptions());
    for (int i = 0; i < kPrompts; ++i) {
      const std::vector<TokenId> ids = Generate(
          group.get(), RandomIds(100 + static_cast<uint64_t>(i), kPromptTokens, kVocab), 6);
      if (tp_size == 1) {
        expected.push_back(ids);
      } else {
        EXPECT_EQ(ids, expected[static_cast<size_t>(i)]) << "prompt " << i << ", tp " << tp_size;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::worker
