// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cpu/cpu_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/executor/broken_checkpoint.h"
#include "tests/worker/executor/executor_group.h"
#include "tests/worker/model/model_runner.h"

namespace sluice::worker {
namespace {

constexpr int kVocab = 2048;
constexpr int kPromptTokens = 64;

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
std::vector<TokenId> Generate(ExecutorGroup* group, const std::vector<TokenId>& prompt, int count) {
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
    ids.push_back(group->Collect().samples.at(0).tokens.at(0).id);
  }
  ids.push_back(group->Collect().samples.at(0).tokens.at(0).id);
  StepPlan release;
  release.released_rows = {0};
  group->Submit(release);
  group->Collect();
  return ids;
}

TEST(CpuExecutorTest, GreedyIdsEqualTheModelsOwn) {
  auto group = ExecutorGroup::Make(ParityDir("plain_tied"), 1, SmallOptions());
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
    auto group = ExecutorGroup::Make(ParityDir("grouped_untied"), tp_size, SmallOptions());
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

// Decodes several prompts together for some steps; ids by row.
std::vector<std::vector<TokenId>> GenerateTogether(
    ExecutorGroup* group, const std::vector<std::vector<TokenId>>& prompts,
    const std::vector<std::shared_ptr<const RowAdd::Sampling>>& sampling, int steps) {
  StepPlan plan;
  StepPlan decode;
  for (RowId row = 0; row < static_cast<RowId>(prompts.size()); ++row) {
    const auto i = static_cast<size_t>(row);
    plan.added.push_back({.row = row, .position = 0, .sampling = sampling[i]});
    plan.pages.push_back({.row = row, .pages = {1 + 2 * row, 40 - row}});
    plan.rows.push_back({.row = row, .ids = prompts[i], .sample = true});
    decode.rows.push_back({.row = row, .ids = {}, .sample = true});
  }
  std::vector<std::vector<TokenId>> ids(prompts.size());
  group->Submit(plan);
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) group->Submit(decode);
    for (const RowSample& sample : group->Collect().samples) {
      ids[static_cast<size_t>(sample.row)].push_back(sample.tokens.at(0).id);
    }
  }
  StepPlan release;
  for (RowId row = 0; row < static_cast<RowId>(prompts.size()); ++row) {
    release.released_rows.push_back(row);
  }
  group->Submit(release);
  group->Collect();
  return ids;
}

std::shared_ptr<RowAdd::Sampling> Random(uint64_t seed) {
  auto sampling = std::make_shared<RowAdd::Sampling>();
  sampling->params.seed = seed;
  return sampling;
}

TEST(CpuExecutorTest, SampledRowsDoNotNoticeTheirBatch) {
  for (const int tp_size : {1, 2}) {
    auto group = ExecutorGroup::Make(ParityDir("plain_tied"), tp_size, SmallOptions());
    std::vector<std::vector<TokenId>> prompts;
    std::vector<std::shared_ptr<const RowAdd::Sampling>> sampling;
    for (uint64_t i = 0; i < 6; ++i) {
      prompts.push_back(RandomIds(50 + i, 20 + 7 * static_cast<int>(i), kVocab));
      auto one = Random(i);
      if (i % 2 == 1) {
        one->params.repetition_penalty = 1.3f;
        one->params.frequency_penalty = 0.5f;
        one->prompt = prompts.back();
      }
      sampling.push_back(std::move(one));
    }
    const auto together = GenerateTogether(group.get(), prompts, sampling, 10);
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto alone = GenerateTogether(group.get(), {prompts[i]}, {sampling[i]}, 10);
      EXPECT_EQ(alone[0], together[i]) << "row " << i << ", tp " << tp_size;
      EXPECT_EQ(alone[0].size(), 10U);
    }
  }
}

TEST(CpuExecutorTest, ARowThatResumesDrawsWhatItWouldHaveDrawn) {
  auto group = ExecutorGroup::Make(ParityDir("plain_tied"), 1, SmallOptions());
  const std::vector<TokenId> prompt = RandomIds(9, 30, kVocab);
  auto sampling = Random(77);
  sampling->params.presence_penalty = 1.5f;
  sampling->prompt = prompt;
  const auto whole = GenerateTogether(group.get(), {prompt}, {sampling}, 12)[0];
  // Preempted after five ids: they come back as known output.
  auto resumed = std::make_shared<RowAdd::Sampling>(*sampling);
  resumed->output.assign(whole.begin(), whole.begin() + 5);
  std::vector<TokenId> longer = prompt;
  longer.insert(longer.end(), resumed->output.begin(), resumed->output.end());
  const auto rest = GenerateTogether(group.get(), {longer}, {resumed}, 7)[0];
  EXPECT_EQ(rest, std::vector<TokenId>(whole.begin() + 5, whole.end()));
}

TEST(CpuExecutorTest, PaddingIdsAreNeverSampledAndLogprobsAreTheModels) {
  CpuExecutorOptions options = SmallOptions();
  options.num_token_ids = 5;
  auto group = ExecutorGroup::Make(ParityDir("plain_tied"), 1, options);
  const std::vector<TokenId> prompt = RandomIds(3, 10, kVocab);
  auto sampling = Random(1);
  sampling->params.logprobs = 2;
  StepPlan plan;
  plan.added = {{.row = 2, .position = 0, .sampling = sampling}};
  plan.pages = {{.row = 2, .pages = {1}}};
  plan.rows = {{.row = 2, .ids = prompt, .sample = true}};
  group->Submit(plan);
  const StepResult result = group->Collect();
  ASSERT_EQ(result.samples.size(), 1U);
  const RowSample& sample = result.samples[0];
  EXPECT_EQ(sample.row, 2);
  ASSERT_EQ(sample.tokens.size(), 1U);
  const TokenId id = sample.tokens[0].id;
  const TokenLogprobs& logprobs = sample.tokens[0].logprobs;
  EXPECT_LT(id, 5);
  ASSERT_EQ(logprobs.top_ids.size(), 2U);
  EXPECT_GE(logprobs.top_logprobs[0], logprobs.top_logprobs[1]);
  const auto logits = RunModel({.dir = ParityDir("plain_tied"), .prompts = {prompt}});
  const float* last = &logits[0][9 * kVocab];
  double sum = 0;
  for (int i = 0; i < kVocab; ++i) sum += std::exp(double{last[i]});
  EXPECT_NEAR(logprobs.logprob, last[id] - std::log(sum), 1e-4);
  EXPECT_GT(result.duration.count(), 0);
}

// A second choice shares the prompt's full page and copies the one in which the two part: it reads
// what it would have computed itself, while the first goes on writing its own page.
TEST(CpuExecutorTest, AChoiceThatSharesItsPromptsPagesGeneratesWhatItDoesAlone) {
  const std::vector<TokenId> prompt = RandomIds(5, 100, kVocab);
  for (const int tp_size : {1, 2}) {
    auto group = ExecutorGroup::Make(ParityDir("grouped_untied"), tp_size, SmallOptions());
    const auto first = Random(1);
    const auto second = Random(2);
    const std::vector<std::vector<TokenId>> alone = {
        GenerateTogether(group.get(), {prompt}, {first}, 9)[0],
        GenerateTogether(group.get(), {prompt}, {second}, 8)[0]};
    StepPlan prefill;
    prefill.added = {{.row = 0, .position = 0, .sampling = first}};
    prefill.pages = {{.row = 0, .pages = {20, 21}}};
    prefill.rows = {{.row = 0, .ids = prompt, .sample = true}};
    group->Submit(prefill);
    StepPlan fork;
    fork.added = {{.row = 1, .position = 99, .sampling = second}};
    fork.pages = {{.row = 1, .pages = {20, 22}}};
    fork.page_copies = {{.from = 21, .to = 22}};
    fork.rows = {{.row = 0, .ids = {}, .sample = true},
                 {.row = 1, .ids = {prompt.back()}, .sample = true}};
    group->Submit(fork);
    std::vector<std::vector<TokenId>> ids(2);
    const auto collect = [&] {
      for (const RowSample& sample : group->Collect().samples) {
        ids[static_cast<size_t>(sample.row)].push_back(sample.tokens.at(0).id);
      }
    };
    for (int i = 0; i < 7; ++i) {
      collect();
      StepPlan decode;
      decode.rows = {{.row = 0, .ids = {}, .sample = true}, {.row = 1, .ids = {}, .sample = true}};
      group->Submit(decode);
    }
    collect();
    collect();
    EXPECT_EQ(ids, alone) << "tp " << tp_size;
  }
}

TEST(CpuExecutorTest, ANanFailsItsRowAlone) {
  constexpr TokenId kBroken = 100;
  const std::string dir = WithBrokenEmbedding(kBroken, "broken_embedding");
  std::vector<std::vector<TokenId>> prompts = {RandomIds(1, 20, 90), RandomIds(2, 20, 90)};
  const auto healthy = [&](ExecutorGroup* group) {
    return GenerateTogether(group, {prompts[0]}, {Greedy(0).sampling}, 3)[0];
  };
  auto group = ExecutorGroup::Make(dir, 2, SmallOptions());
  const std::vector<TokenId> expected = healthy(group.get());
  prompts[1][5] = kBroken;
  StepPlan plan;
  for (RowId row : {0, 1}) {
    auto sampling = std::make_shared<RowAdd::Sampling>(*Greedy(row).sampling);
    sampling->prompt = prompts[static_cast<size_t>(row)];
    plan.added.push_back({.row = row, .position = 0, .sampling = std::move(sampling)});
  }
  // The broken row gets the page that the healthy one had before, and the other way round.
  plan.pages = {{.row = 0, .pages = {2}}, {.row = 1, .pages = {1}}};
  plan.rows = {{.row = 0, .ids = prompts[0], .sample = true, .num_prompt_logprobs = 19},
               {.row = 1, .ids = prompts[1], .sample = true, .num_prompt_logprobs = 19}};
  group->Submit(plan);
  const StepResult result = group->Collect();
  EXPECT_FALSE(result.samples[0].bad_logits);
  EXPECT_EQ(result.samples[0].tokens.at(0).id, expected[0]);
  EXPECT_TRUE(result.samples[1].bad_logits);
  ASSERT_EQ(result.prompt_logprobs.size(), 2U);
  EXPECT_FALSE(result.prompt_logprobs[0].bad_logits);
  EXPECT_TRUE(result.prompt_logprobs[1].bad_logits);
  // The engine learns of it one step late; that step runs, and a page that held NaN is reused.
  StepPlan decode;
  decode.rows = {{.row = 0, .ids = {}, .sample = true}, {.row = 1, .ids = {}, .sample = true}};
  group->Submit(decode);
  EXPECT_EQ(group->Collect().samples[0].tokens.at(0).id, expected[1]);
  StepPlan release;
  release.released_rows = {0, 1};
  group->Submit(release);
  group->Collect();
  EXPECT_EQ(healthy(group.get()), expected);  // on page 1
}

TEST(CpuExecutorTest, ContradictionsFailTheRankAndAbortTheGroup) {
  const auto failure = [](std::vector<RowId> released, std::vector<RowAdd> added,
                          std::vector<PagesAppend> pages, std::vector<RowStep> rows,
                          std::vector<PageCopy> copies = {}) {
    SingleRankCommunicator communicator;
    const auto folder = ModelFolder::Open({.dir = ParityDir("plain_tied")});
    auto executor = *CpuExecutor::Create(**folder, SmallOptions(), &communicator);
    EXPECT_TRUE(executor
                    ->Submit({.step = 1,
                              .released_rows = std::move(released),
                              .added = std::move(added),
                              .pages = std::move(pages),
                              .page_copies = std::move(copies),
                              .rows = std::move(rows)})
                    .ok());
    const auto result = executor->Collect(1);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInternal);
    EXPECT_EQ(executor->Submit({}), result.status());  // final
    return std::string(result.status().message());
  };
  using testing::HasSubstr;
  const RowAdd row0 = Greedy(0);
  const PagesAppend page1 = {.row = 0, .pages = {1}};
  const std::vector<TokenId> too_many(65, 1);
  EXPECT_THAT(failure({3}, {}, {}, {}), HasSubstr("row 3 is released but not in use"));
  EXPECT_THAT(failure({}, {Greedy(8)}, {}, {}), HasSubstr("row 8 is added but in use, or not"));
  EXPECT_THAT(failure({}, {row0, row0}, {}, {}), HasSubstr("row 0 is added but in use"));
  EXPECT_THAT(failure({}, {}, {page1}, {}), HasSubstr("pages for row 0, which is not in use"));
  EXPECT_THAT(failure({}, {row0}, {page1}, {{.row = 0, .ids = {1}}, {.row = 0, .ids = {2}}}),
              HasSubstr("row 0 has two steps"));
  EXPECT_THAT(failure({}, {row0}, {{.row = 0, .pages = {64}}}, {}),
              HasSubstr("page 64 of row 0 is not below 64"));
  EXPECT_THAT(failure({}, {row0}, {page1}, {{.row = 0, .ids = too_many}}),
              HasSubstr("row 0 reaches position 65 with 1 pages"));
  EXPECT_THAT(failure({}, {row0}, {page1}, {{.row = 0, .ids = {2048}}}),
              HasSubstr("row 0 has the id 2048"));
  EXPECT_THAT(
      failure({}, {row0}, {page1}, {{.row = 0, .ids = {}}}),
      HasSubstr("row 0 goes on from an id, but none was sampled"));  // nothing was sampled yet
  EXPECT_THAT(failure({}, {}, {}, {}, {{.from = 1, .to = 64}}), HasSubstr("copied to page 64"));
  EXPECT_THAT(failure({}, {}, {}, {}, {{.from = 2, .to = 2}}), HasSubstr("copied to page 2"));
  EXPECT_THAT(failure({}, {}, {}, {}, {{.from = 1, .to = kScratchPage}}), HasSubstr("to page 0"));
  EXPECT_THAT(failure({}, {{.row = 0, .position = 64, .sampling = nullptr}}, {page1},
                      {{.row = 0, .ids = {1}}}),
              HasSubstr("row 0 reaches position 65 with 1 pages"));
  EXPECT_THAT(failure({}, {{.row = 0, .position = 0, .sampling = nullptr}}, {page1},
                      {{.row = 0, .ids = {1}, .sample = true}}),
              HasSubstr("came without sampling parameters"));
  EXPECT_THAT(failure({}, {row0}, {page1}, {{.row = 0, .ids = {1}, .num_prompt_logprobs = 2}}),
              HasSubstr("row 0 scores 2 of 1 ids"));
  EXPECT_THAT(failure({}, {row0}, {page1}, {{.row = 0, .ids = {1}, .num_prompt_logprobs = 1}}),
              HasSubstr("beyond its prompt"));
  EXPECT_THAT(failure({}, {row0}, {page1}, {{.row = 0, .ids = {1}, .sample = true, .drafts = {1}}}),
              HasSubstr("row 0 has drafts, but known ids or no sample"));
}

TEST(CpuExecutorTest, APeersAbortEndsTheStep) {
  auto group = ExecutorGroup::Make(ParityDir("plain_tied"), 2, SmallOptions());
  StepPlan plan;
  plan.step = 1;
  plan.added = {Greedy(0)};
  plan.pages = {{.row = 0, .pages = {1}}};
  plan.rows = {{.row = 0, .ids = {1, 2}, .sample = true}};
  // Rank 1 never gets the plan.
  ASSERT_TRUE(group->executor(0).Submit(plan).ok());
  group->communicator(1).Abort();
  EXPECT_EQ(group->executor(0).Collect(1).status().code(), absl::StatusCode::kCancelled);
}

TEST(CpuExecutorTest, RefusesUnusableOptions) {
  SingleRankCommunicator communicator;
  const auto folder = ModelFolder::Open({.dir = ParityDir("plain_tied")});
  CpuExecutorOptions options = SmallOptions();
  options.num_pages = 1;
  EXPECT_FALSE(CpuExecutor::Create(**folder, options, &communicator).ok());
  options = SmallOptions();
  options.num_token_ids = 2049;
  EXPECT_EQ(CpuExecutor::Create(**folder, options, &communicator).status().message(),
            "the tokenizer has 2049 ids, more than config.json's vocab_size 2048");
  const auto two = ModelFolder::Open({.dir = ParityDir("plain_tied"), .tp_size = 2});
  EXPECT_FALSE(CpuExecutor::Create(**two, SmallOptions(), &communicator).ok());
}

}  // namespace
}  // namespace sluice::worker
