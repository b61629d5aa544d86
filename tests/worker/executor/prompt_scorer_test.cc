// SPDX-License-Identifier: Apache-2.0
// Prompt scores through the executor: against Transformers, and the same for every chunk and rank
// count.
#include "worker/executor/cpu/prompt_scorer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "tests/worker/executor/executor_group.h"
#include "tests/worker/model/golden_logits.h"
#include "tests/worker/model/model_runner.h"

namespace sluice::worker {
namespace {

constexpr int kVocab = 2048;

CpuExecutorOptions SmallOptions() {
  return {.num_pages = 64, .max_rows = 8, .max_batched_tokens = 512, .threads = 1};
}

// The scores of a prompt that goes through row 0 in chunks, all of them asked for.
std::vector<PromptLogprobs> Score(ExecutorGroup* group, const std::vector<TokenId>& prompt,
                                  size_t chunk, int top_k) {
  auto sampling = std::make_shared<RowAdd::Sampling>();
  sampling->params.prompt_logprobs = top_k;
  sampling->prompt = prompt;
  std::vector<PromptLogprobs> scores;
  for (size_t begin = 0; begin < prompt.size(); begin += chunk) {
    const size_t end = std::min(begin + chunk, prompt.size());
    StepPlan plan;
    if (begin == 0) {
      plan.added = {{.row = 0, .position = 0, .sampling = sampling}};
      plan.pages = {{.row = 0, .pages = {5, 2}}};
    }
    plan.rows = {{.row = 0,
                  .ids = {prompt.begin() + static_cast<std::ptrdiff_t>(begin),
                          prompt.begin() + static_cast<std::ptrdiff_t>(end)},
                  .sample = end == prompt.size()}};
    plan.rows[0].num_prompt_logprobs = static_cast<int>(std::min(end, prompt.size() - 1) - begin);
    group->Submit(plan);
    for (PromptLogprobs& run : group->Collect().prompt_logprobs) scores.push_back(std::move(run));
  }
  StepPlan release;
  release.released_rows = {0};
  group->Submit(release);
  group->Collect();
  return scores;
}

// The joined scores of the prompt's ids from the second on.
std::vector<TokenLogprobs> Join(const std::vector<PromptLogprobs>& runs) {
  std::vector<TokenLogprobs> joined;
  for (const PromptLogprobs& run : runs) {
    EXPECT_EQ(run.first_position, static_cast<int32_t>(joined.size()) + 1);
    EXPECT_FALSE(run.bad_logits);
    joined.insert(joined.end(), run.logprobs.begin(), run.logprobs.end());
  }
  return joined;
}

TEST(PromptScorerTest, PromptScoresAreTransformersOwn) {
  for (const GoldenLogits& golden : LoadGoldenLogits()) {
    if (!golden.columns.empty() || golden.first_position != 0) continue;
    SCOPED_TRACE(golden.name);
    const auto vocab = golden.logits.size() / golden.ids.size();
    auto group = ExecutorGroup::Make(ParityDir(golden.checkpoint), 1, SmallOptions());
    const std::vector<TokenLogprobs> scores = Join(Score(group.get(), golden.ids, 23, 5));
    ASSERT_EQ(scores.size(), golden.ids.size() - 1);
    for (size_t i = 0; i < scores.size(); ++i) {
      const float* row = &golden.logits[i * vocab];
      double sum = 0;
      for (size_t id = 0; id < vocab; ++id) sum += std::exp(double{row[id]});
      EXPECT_NEAR(scores[i].logprob, row[golden.ids[i + 1]] - std::log(sum), 1e-4);
      ASSERT_EQ(scores[i].top_ids.size(), 5U);
      std::vector<float> sorted(row, row + vocab);
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      for (size_t k = 0; k < 5; ++k) {
        EXPECT_NEAR(scores[i].top_logprobs[k], row[scores[i].top_ids[k]] - std::log(sum), 1e-4);
        EXPECT_NEAR(scores[i].top_logprobs[k], sorted[k] - std::log(sum), 1e-4);
      }
    }
  }
}

TEST(PromptScorerTest, PromptScoresDependOnNeitherChunksNorRanks) {
  const std::vector<TokenId> prompt = RandomIds(21, 100, kVocab);
  std::vector<TokenLogprobs> expected;
  for (const int tp_size : {1, 2, 4}) {
    auto group = ExecutorGroup::Make(ParityDir("grouped_untied"), tp_size, SmallOptions());
    for (const size_t chunk : {100, 99, 33, 1}) {
      const std::vector<TokenLogprobs> scores = Join(Score(group.get(), prompt, chunk, 3));
      if (expected.empty()) expected = scores;
      ASSERT_EQ(scores.size(), 99U);
      for (size_t i = 0; i < scores.size(); ++i) {
        EXPECT_EQ(scores[i].logprob, expected[i].logprob) << i << ", tp " << tp_size;
        EXPECT_EQ(scores[i].top_ids, expected[i].top_ids);
        EXPECT_EQ(scores[i].top_logprobs, expected[i].top_logprobs);
      }
    }
  }
}

TEST(PromptScorerTest, ScoringLeavesSamplesAsTheyAre) {
  auto group = ExecutorGroup::Make(ParityDir("plain_tied"), 1, SmallOptions());
  const std::vector<TokenId> prompt = RandomIds(4, 40, kVocab);
  auto plain = std::make_shared<RowAdd::Sampling>();
  plain->params.temperature = 0.0f;
  auto sampling = std::make_shared<RowAdd::Sampling>(*plain);
  sampling->params.prompt_logprobs = 0;
  sampling->prompt = prompt;
  StepPlan plan;
  plan.added = {{.row = 0, .position = 0, .sampling = sampling},
                {.row = 1, .position = 0, .sampling = plain}};
  plan.pages = {{.row = 0, .pages = {1}}, {.row = 1, .pages = {2}}};
  plan.rows = {{.row = 1, .ids = prompt, .sample = true},
               {.row = 0, .ids = prompt, .sample = true, .num_prompt_logprobs = 39}};
  group->Submit(plan);
  const StepResult result = group->Collect();
  const auto logits = RunModel({.dir = ParityDir("plain_tied"), .prompts = {prompt}});
  const int expected = ArgMax(&logits[0][39 * kVocab], kVocab);
  EXPECT_EQ(result.samples.at(0).tokens.at(0).id, expected);
  EXPECT_EQ(result.samples.at(1).tokens.at(0).id, expected);
  ASSERT_EQ(result.prompt_logprobs.size(), 1U);
  EXPECT_EQ(result.prompt_logprobs[0].row, 0);
  EXPECT_EQ(result.prompt_logprobs[0].logprobs.size(), 39U);
  EXPECT_TRUE(result.prompt_logprobs[0].logprobs[0].top_ids.empty());
}

}  // namespace
}  // namespace sluice::worker
