// SPDX-License-Identifier: Apache-2.0
// The numbers are worked out by hand beside each case.
#include "worker/executor/cuda/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::worker {
namespace {

using testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;
constexpr int64_t kMib = int64_t{1} << 20;

Qwen3Config Config14B() {
  Qwen3Config config;
  config.num_layers = 40;
  config.num_kv_heads = 8;
  return config;
}

// 80 GiB, of which 90 % are 72; 1 in use, 10 of weights, 3 of workspace: 58 are left.
MemoryDemand Demand() {
  MemoryDemand demand;
  demand.total_bytes = 80 * kGib;
  demand.free_bytes = 79 * kGib;
  demand.utilization = 0.9;
  demand.weight_bytes = 10 * kGib;
  demand.workspace.activations = kGib;
  demand.workspace.logits = kGib / 2;
  demand.workspace.dequantized_linear = kGib / 4;
  demand.workspace.matmul = kGib / 4;
  demand.workspace.attention = kGib / 4;
  demand.workspace.sampler = kGib / 4;
  demand.workspace.graphs = kGib / 2;
  demand.page_bytes = 10 * kMib;
  demand.max_model_len = 40960;
  return demand;
}

TEST(MemoryPlanTest, APageOfThe14B) {
  // 40 layers, keys and values, 8 heads, 64 slots, 128 values, 2 bytes: 10 MiB.
  EXPECT_EQ(KvPageBytes(Config14B(), 1), 10 * kMib);
  EXPECT_EQ(KvPageBytes(Config14B(), 8), 10 * kMib / 8);
}

TEST(MemoryPlanTest, PagesAreWhatIsLeft) {
  const auto plan = PlanMemory(Demand());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->num_pages, 58 * 1024 / 10);
  EXPECT_EQ(plan->kv_bytes, 5939 * 10 * kMib);
  EXPECT_EQ(plan->in_use_bytes, kGib);
  EXPECT_EQ(plan->budget_bytes, 72 * kGib);
}

TEST(MemoryPlanTest, AllOfMemoryMayBeAskedForButNoMoreThanIsFree) {
  MemoryDemand demand = Demand();
  demand.utilization = 1.0;
  const auto plan = PlanMemory(demand);
  ASSERT_TRUE(plan.ok());
  EXPECT_LE(plan->kv_bytes + demand.weight_bytes + demand.workspace.total(), demand.free_bytes);
  EXPECT_EQ(plan->num_pages, 66 * 1024 / 10);
}

TEST(MemoryPlanTest, OneSequenceFitsExactlyOrIsRefused) {
  MemoryDemand demand = Demand();
  demand.max_model_len = 5938 * 64;  // and the scratch page: all 5939
  EXPECT_TRUE(PlanMemory(demand).ok());
  demand.max_model_len += 1;
  EXPECT_EQ(PlanMemory(demand).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(MemoryPlanTest, ARefusalShowsTheArithmeticAndWhatToChange) {
  MemoryDemand demand = Demand();
  demand.total_bytes = 16 * kGib;
  demand.free_bytes = 15 * kGib;
  // 14.4 - 1 - 10 - 3 = 0.4 GiB: 40 pages, of which one is scratch.
  const std::string text(PlanMemory(demand).status().message());
  for (const char* part :
       {"--gpu-memory-utilization 0.90 of the GPU's 16.00 GiB is 14.40 GiB", "1.00 GiB in use",
        "10.00 GiB of weights", "3.00 GiB of workspace", "activations 1.00 GiB", "logits 0.50 GiB",
        "dequantized linear 0.25 GiB", "cuBLASLt 0.25 GiB", "attention 0.25 GiB",
        "sampling 0.25 GiB", "graphs and kernels 0.50 GiB", "leave 0.40 GiB for the KV cache",
        "--max-model-len 40960 tokens takes 6.26 GiB (641 pages of 10240 KiB)",
        "lower --max-model-len to 2496 or less", "--max-batched-tokens", "--max-num-seqs",
        "--tp-size"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(MemoryPlanTest, WeightsThatDoNotFitLeaveNothing) {
  MemoryDemand demand = Demand();
  demand.weight_bytes = 100 * kGib;
  const std::string text(PlanMemory(demand).status().message());
  EXPECT_THAT(text, HasSubstr("leave 0.00 GiB for the KV cache"));
  EXPECT_THAT(text, HasSubstr("lower --max-model-len, lower"));  // no number would do
}

TEST(MemoryPlanTest, AnExplicitCacheIsTakenAsItIsOrRefused) {
  MemoryDemand demand = Demand();
  demand.kv_cache_bytes = 8 * kGib;
  EXPECT_EQ(PlanMemory(demand)->num_pages, 819);
  demand.kv_cache_bytes = 59 * kGib;
  EXPECT_THAT(std::string(PlanMemory(demand).status().message()),
              HasSubstr("lower it to 59390MiB or less"));
  demand.kv_cache_bytes = kGib;
  EXPECT_THAT(std::string(PlanMemory(demand).status().message()),
              HasSubstr("takes 6721372160 bytes of KV cache on each rank"));
}

TEST(MemoryPlanTest, TheDescriptionHasALineAnItem) {
  const MemoryDemand demand = Demand();
  const std::string text = PlanMemory(demand)->Describe(demand);
  EXPECT_THAT(text, HasSubstr("GPU memory: 80.00 GiB, of which --gpu-memory-utilization 0.90 "
                              "allows 72.00 GiB\n"));
  EXPECT_THAT(text, HasSubstr("  weights: 10.00 GiB\n"));
  EXPECT_THAT(text, HasSubstr("  KV cache: 58.00 GiB, 5939 pages of 10240 KiB, 380032 tokens\n"));
}

}  // namespace
}  // namespace sluice::worker
