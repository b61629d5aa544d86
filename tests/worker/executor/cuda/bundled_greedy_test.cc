// SPDX-License-Identifier: Apache-2.0
// The bundled model, greedy and free-running, on GPUs against the CPU: 200 beginnings of the
// conversations of tests/golden/demo/greedy.json (in the emulator, a few). At least 95 % must say
// the same to the end, and where one does not, the CPU's log probabilities of both ids must be
// within kNearTie of each other when they part.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/source_dirs.h"
#include "tests/worker/executor/cuda/cuda_group.h"
#include "tests/worker/model/model_runner.h"

namespace sluice::worker {
namespace {

constexpr double kNearTie = 0.25;  // twice the largest error seen, and a little (docs/adr/0009)

constexpr int kRows = 8;
constexpr int kPagesPerRow = 8;
constexpr int kPages = kRows * kPagesPerRow + 1;
constexpr int kTokens = kEmulated ? 200 : 512;
constexpr int kMaxOutput = kEmulated ? 5 : 128;
constexpr size_t kConversations = kEmulated ? 1 : 50;
constexpr size_t kLongestPrompt = kEmulated ? 30 : 400;

struct Answer {
  std::vector<TokenId> ids;
  std::vector<TokenLogprobs> logprobs;
};

std::shared_ptr<RowAdd::Sampling> GreedySampling(const std::vector<TokenId>& prompt) {
  auto sampling = std::make_shared<RowAdd::Sampling>();
  sampling->params.temperature = 0.0f;
  sampling->params.logprobs = 20;
  sampling->prompt = prompt;
  return sampling;
}

// Answers up to kRows prompts, which decode together, each until eos or its bound.
std::vector<Answer> AnswerTogether(ExecutorGroup* group,
                                   std::span<const std::vector<TokenId>> prompts, TokenId eos) {
  std::vector<Answer> answers(prompts.size());
  const auto run = [&](const StepPlan& plan) {
    group->Submit(plan);
    for (RowSample& sample : group->Collect().samples) {
      EXPECT_FALSE(sample.bad_logits);
      Answer& answer = answers[static_cast<size_t>(sample.row)];
      answer.ids.push_back(sample.tokens.at(0).id);
      answer.logprobs.push_back(std::move(sample.tokens[0].logprobs));
    }
  };
  StepPlan release;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto row = static_cast<RowId>(i);
    StepPlan plan;
    plan.added = {{.row = row, .position = 0, .sampling = GreedySampling(prompts[i])}};
    plan.pages = {{.row = row, .pages = {}}};
    for (int page = 0; page < kPagesPerRow; ++page) {
      plan.pages[0].pages.push_back(1 + row * kPagesPerRow + page);
    }
    plan.rows = {{.row = row, .ids = prompts[i], .sample = true}};
    run(plan);
    release.released_rows.push_back(row);
  }
  for (;;) {
    StepPlan decode;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const std::vector<TokenId>& ids = answers[i].ids;
      if (ids.back() == eos || ids.size() >= kMaxOutput) continue;
      decode.rows.push_back({.row = static_cast<RowId>(i), .ids = {}, .sample = true});
    }
    if (decode.rows.empty()) break;
    run(decode);
  }
  run(release);
  return answers;
}

std::vector<std::vector<TokenId>> Prompts() {
  std::ifstream file(SourceDir() + "/tests/golden/demo/greedy.json");
  const auto golden = nlohmann::json::parse(file);
  std::vector<std::vector<TokenId>> prompts;
  size_t conversations = 0;
  for (const auto& conversation : golden["prompts"]) {
    const auto prompt = conversation["prompt_ids"].get<std::vector<TokenId>>();
    const auto ids = conversation["ids"].get<std::vector<TokenId>>();
    if (prompt.size() > kLongestPrompt || conversations == kConversations) continue;
    ++conversations;
    for (size_t part = 0; part < 4; ++part) {  // an answer that is begun is a prompt, too
      prompts.push_back(prompt);
      prompts.back().insert(prompts.back().end(), ids.begin(),
                            ids.begin() + static_cast<std::ptrdiff_t>(ids.size() * part / 4));
    }
  }
  return prompts;
}

class BundledGreedyTest : public testing::TestWithParam<int> {};

TEST_P(BundledGreedyTest, SaysWhatTheCpuSays) {
  const int tp_size = GetParam();
  if (!HasDevices(tp_size)) GTEST_SKIP() << "needs a GPU for each rank";
  const auto cpu = ExecutorGroup::Make(
      DemoModelDir(), 1,
      {.num_pages = kPages, .max_rows = kRows, .max_batched_tokens = kTokens, .threads = 0});
  CudaExecutorOptions options;
  options.num_pages = kPages;
  options.max_rows = kRows;
  options.max_batched_tokens = kTokens;
  options.max_model_len = kPagesPerRow * kPageTokens;
  CudaGroup cuda({.dir = DemoModelDir(), .tp_size = tp_size}, options);
  const auto folder = ModelFolder::Open({.dir = DemoModelDir()});
  ASSERT_TRUE(folder.ok());
  const TokenId eos = (*folder)->generation().eos_ids.at(0);

  const std::vector<std::vector<TokenId>> prompts = Prompts();
  ASSERT_EQ(prompts.size(), 4 * kConversations);
  size_t equal = 0;
  for (size_t first = 0; first < prompts.size(); first += kRows) {
    const auto batch =
        std::span(prompts).subspan(first, std::min<size_t>(kRows, prompts.size() - first));
    const std::vector<Answer> expected = AnswerTogether(cpu.get(), batch, eos);
    const std::vector<Answer> actual = AnswerTogether(&cuda.group(), batch, eos);
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto [mine, theirs] = std::ranges::mismatch(actual[i].ids, expected[i].ids);
      if (mine == actual[i].ids.end() && theirs == expected[i].ids.end()) {
        ++equal;
        continue;
      }
      ASSERT_NE(mine, actual[i].ids.end());
      ASSERT_NE(theirs, expected[i].ids.end());
      const TokenLogprobs& cpu_logprobs =
          expected[i].logprobs[static_cast<size_t>(theirs - expected[i].ids.begin())];
      const auto place = std::ranges::find(cpu_logprobs.top_ids, *mine);
      ASSERT_NE(place, cpu_logprobs.top_ids.end()) << "prompt " << first + i;
      const double gap =
          cpu_logprobs.logprob -
          cpu_logprobs.top_logprobs[static_cast<size_t>(place - cpu_logprobs.top_ids.begin())];
      std::printf("prompt %zu parts after %td ids, where the CPU's gap is %.4f\n", first + i,
                  mine - actual[i].ids.begin(), gap);
      EXPECT_LT(gap, kNearTie) << "prompt " << first + i;
    }
  }
  std::printf("tp %d: %zu of %zu answers are equal\n", tp_size, equal, prompts.size());
  EXPECT_GE(static_cast<double>(equal), 0.95 * static_cast<double>(prompts.size()));
}

INSTANTIATE_TEST_SUITE_P(Ranks, BundledGreedyTest,
                         testing::ValuesIn(kEmulated ? std::vector<int>{1, 2}
                                                     : std::vector<int>{1, 2, 4}));

}  // namespace
}  // namespace sluice::worker
