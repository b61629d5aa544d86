// SPDX-License-Identifier: Apache-2.0
// Drafted steps against plain ones: whatever the drafts are, every row's ids and log probabilities
// are those of one token a step, bit for bit, and the drafts that hold save steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>

#include "tests/worker/executor/broken_checkpoint.h"
#include "tests/worker/executor/executor_group.h"
#include "tests/worker/model/model_runner.h"

namespace sluice::worker {
namespace {

constexpr int kOutputs = 40;
constexpr TokenId kBound = 2000;  // below every test model's vocabulary

using Sampling = std::shared_ptr<RowAdd::Sampling>;
// Guesses at what follows the ids so far.
using Drafter = std::function<std::vector<TokenId>(const std::vector<TokenId>& output)>;

struct Generated {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;  // each id's own and its most likely rivals', in order
  std::vector<TokenId> rivals;
  int steps = 0;
};

struct RowOfTest {
  std::vector<TokenId> prompt;
  Sampling sampling;
  Drafter draft;
};

void Take(const RowSample& sample, Generated* row) {
  EXPECT_FALSE(sample.bad_logits);
  for (const SampledToken& token : sample.tokens) {
    row->ids.push_back(token.id);
    row->logprobs.push_back(token.logprobs.logprob);
    const TokenLogprobs& top = token.logprobs;
    row->logprobs.insert(row->logprobs.end(), top.top_logprobs.begin(), top.top_logprobs.end());
    row->rivals.insert(row->rivals.end(), top.top_ids.begin(), top.top_ids.end());
  }
  ++row->steps;
}

// Runs the rows together until each has kOutputs ids or more, cut to that.
std::vector<Generated> Generate(ExecutorGroup* group, const std::vector<RowOfTest>& rows) {
  std::vector<Generated> out(rows.size());
  StepPlan plan;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<RowId>(i);
    plan.added.push_back({.row = row, .position = 0, .sampling = rows[i].sampling});
    plan.pages.push_back({.row = row, .pages = {1 + 3 * row, 40 - row, 2 + 3 * row}});
    plan.rows.push_back({.row = row, .ids = rows[i].prompt, .sample = true});
  }
  while (!plan.rows.empty()) {
    group->Submit(plan);
    for (const RowSample& sample : group->Collect().samples) {
      Take(sample, &out[static_cast<size_t>(sample.row)]);
    }
    plan = {};
    for (size_t i = 0; i < rows.size(); ++i) {
      if (out[i].ids.size() >= kOutputs) continue;
      RowStep step{.row = static_cast<RowId>(i), .ids = {}, .sample = true};
      if (rows[i].draft) step.drafts = rows[i].draft(out[i].ids);
      plan.rows.push_back(std::move(step));
    }
  }
  StepPlan release;
  for (size_t i = 0; i < rows.size(); ++i) release.released_rows.push_back(static_cast<RowId>(i));
  group->Submit(release);
  group->Collect();
  for (Generated& row : out) {
    const size_t per_id = row.logprobs.size() / row.ids.size();
    row.logprobs.resize(kOutputs * per_id);
    row.rivals.resize(kOutputs * (per_id - 1));
    row.ids.resize(kOutputs);
  }
  return out;
}

void ExpectEqual(const Generated& got, const Generated& expected) {
  EXPECT_EQ(got.ids, expected.ids);
  EXPECT_EQ(got.rivals, expected.rivals);
  ASSERT_EQ(got.logprobs.size(), expected.logprobs.size());
  EXPECT_EQ(std::memcmp(got.logprobs.data(), expected.logprobs.data(),
                        got.logprobs.size() * sizeof(float)),
            0)
      << "log probabilities differ in a bit";
}

// Every way of sampling that draws on what came before.
std::vector<Sampling> Samplings(const std::vector<TokenId>& prompt) {
  std::vector<Sampling> all;
  const auto add = [&](float temperature) -> SamplingParams& {
    auto one = std::make_shared<RowAdd::Sampling>();
    one->params.temperature = temperature;
    one->params.seed = 40 + all.size();
    one->params.logprobs = 4;
    one->prompt = prompt;
    one->choice = static_cast<uint32_t>(all.size() % 3);
    all.push_back(one);
    return one->params;
  };
  add(0.0f);
  add(1.0f);
  SamplingParams& narrow = add(0.8f);
  narrow.top_p = 0.9f;
  narrow.top_k = 20;
  SamplingParams& penalties = add(0.7f);
  penalties.repetition_penalty = 1.3f;
  penalties.frequency_penalty = 0.4f;
  penalties.presence_penalty = 0.2f;
  SamplingParams& masks = add(0.0f);
  masks.frequency_penalty = 1.0f;
  masks.logit_bias = {{7, 3.0f}, {8, 3.0f}};
  masks.banned_token_ids = {9, 10};
  masks.min_tokens = kOutputs / 2;
  all.back()->stop_ids = {7};
  return all;
}

// The true continuation, k ids of it, with every wrong_every-th position wrong (0: none).
Drafter Oracle(std::vector<TokenId> truth, size_t k, size_t wrong_every) {
  return [truth = std::move(truth), k, wrong_every](const std::vector<TokenId>& output) {
    std::vector<TokenId> drafts;
    for (size_t i = output.size(); i < truth.size() && drafts.size() < k; ++i) {
      const bool wrong = wrong_every > 0 && i % wrong_every == 0;
      drafts.push_back(wrong ? (truth[i] + 1) % kBound : truth[i]);
    }
    return drafts;
  };
}

Drafter Noise(uint64_t seed) {
  auto random = std::make_shared<std::mt19937_64>(seed);
  return [random](const std::vector<TokenId>&) {
    std::vector<TokenId> drafts((*random)() % 9);
    for (TokenId& id : drafts) id = static_cast<TokenId>((*random)() % kBound);
    return drafts;
  };
}

struct Case {
  const char* name;
  std::string dir;
  int tp_size;
};

class DraftTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    group_ = ExecutorGroup::Make(
        GetParam().dir, GetParam().tp_size,
        {.num_pages = 64, .max_rows = 8, .max_batched_tokens = 512, .threads = 1});
    // 60 tokens: drafts reach over the border of a page.
    prompt_ = RandomIds(11, 60, kBound);
  }

  Generated Plain(const Sampling& sampling) {
    return Generate(group_.get(), {{prompt_, sampling, nullptr}})[0];
  }

  std::unique_ptr<ExecutorGroup> group_;
  std::vector<TokenId> prompt_;
};

TEST_P(DraftTest, IdsAndLogprobsDoNotDependOnDrafts) {
  for (const Sampling& sampling : Samplings(prompt_)) {
    const Generated plain = Plain(sampling);
    EXPECT_EQ(plain.steps, kOutputs);
    for (const size_t wrong_every : {0, 3, 5, 1}) {
      SCOPED_TRACE(testing::Message()
                   << "seed " << sampling->params.seed << ", wrong every " << wrong_every);
      const Generated drafted =
          Generate(group_.get(), {{prompt_, sampling, Oracle(plain.ids, 7, wrong_every)}})[0];
      ExpectEqual(drafted, plain);
      // The first id comes with the prompt; then all drafts hold, or those before each wrong one.
      EXPECT_LE(drafted.steps, wrong_every == 0   ? 1 + (kOutputs - 1 + 7) / 8
                               : wrong_every == 1 ? kOutputs
                                                  : 2 + kOutputs / static_cast<int>(wrong_every));
      if (wrong_every == 1) {
        EXPECT_EQ(drafted.steps, kOutputs) << "a wrong draft was taken";
      }
    }
    ExpectEqual(Generate(group_.get(), {{prompt_, sampling, Noise(3)}})[0], plain);
  }
}

TEST_P(DraftTest, RowsWithAndWithoutDraftsShareAStep) {
  const std::vector<Sampling> samplings = Samplings(prompt_);
  std::vector<Generated> alone;
  std::vector<RowOfTest> rows;
  for (size_t i = 0; i < samplings.size(); ++i) {
    alone.push_back(Plain(samplings[i]));
    rows.push_back({prompt_, samplings[i],
                    i % 3 == 0   ? Drafter()
                    : i % 3 == 1 ? Oracle(alone[i].ids, 1 + i, 6)
                                 : Noise(i)});
  }
  const std::vector<Generated> together = Generate(group_.get(), rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectEqual(together[i], alone[i]);
  }
}

TEST(DraftLogitsTest, BadLogitsCountOnlyBehindIdsThatHold) {
  constexpr TokenId kBroken = 100;
  auto group =
      ExecutorGroup::Make(WithBrokenEmbedding(kBroken, "broken_draft"), 2,
                          {.num_pages = 8, .max_rows = 2, .max_batched_tokens = 64, .threads = 1});
  auto wants_it = std::make_shared<RowAdd::Sampling>();
  wants_it->params.temperature = 0.0f;
  // After id 50, the broken one: the penalty takes 50 away once it was said.
  wants_it->params.logit_bias = {{50, 1e6f + 1e3f}, {kBroken, 1e6f}};
  wants_it->params.presence_penalty = 2e3f;
  auto bans_it = std::make_shared<RowAdd::Sampling>();
  bans_it->params.temperature = 0.0f;
  bans_it->params.banned_token_ids = {kBroken};
  StepPlan plan;
  plan.added = {{.row = 0, .sampling = wants_it}, {.row = 1, .sampling = bans_it}};
  plan.pages = {{.row = 0, .pages = {1}}, {.row = 1, .pages = {2}}};
  const std::vector<TokenId> prompt = RandomIds(1, 20, 90);
  // What the healthy row says after its first id, without drafts.
  plan.rows = {{.row = 1, .ids = prompt, .sample = true}};
  group->Submit(plan);
  group->Collect();
  StepPlan decode;
  decode.rows = {{.row = 1, .ids = {}, .sample = true}};
  std::vector<TokenId> expected;
  for (int i = 0; i < 2; ++i) {
    group->Submit(decode);
    expected.push_back(group->Collect().samples.at(0).tokens.at(0).id);
  }
  StepPlan again;
  again.released_rows = {1};
  again.added = {{.row = 1, .sampling = bans_it}};
  again.pages = {{.row = 1, .pages = {2}}};
  again.rows = {{.row = 1, .ids = prompt, .sample = true}};
  group->Submit(again);
  group->Collect();
  // The healthy row: the broken id is a draft that does not hold.
  decode.rows[0].drafts = {kBroken, 5};
  group->Submit(decode);
  const RowSample rejected = group->Collect().samples.at(0);
  EXPECT_FALSE(rejected.bad_logits);
  ASSERT_EQ(rejected.tokens.size(), 1U);
  EXPECT_EQ(rejected.tokens[0].id, expected[0]);
  decode.rows[0].drafts = {};
  group->Submit(decode);
  EXPECT_EQ(group->Collect().samples.at(0).tokens.at(0).id, expected[1]);
  // The other row: first an id that is not broken, then the broken one as a draft that holds.
  StepPlan prefill;
  prefill.rows = {{.row = 0, .ids = prompt, .sample = true}};
  group->Submit(prefill);
  ASSERT_EQ(group->Collect().samples.at(0).tokens.at(0).id, 50);
  decode.rows = {{.row = 0, .ids = {}, .sample = true, .drafts = {kBroken, 5, 6}}};
  group->Submit(decode);
  const RowSample lost = group->Collect().samples.at(0);
  EXPECT_TRUE(lost.bad_logits);
  ASSERT_EQ(lost.tokens.size(), 1U) << "the id before the bad logits is good";
  EXPECT_EQ(lost.tokens[0].id, kBroken);
}

INSTANTIATE_TEST_SUITE_P(Models, DraftTest,
                         testing::Values(Case{"random_tp1", ParityDir("grouped_untied"), 1},
                                         Case{"random_tp2", ParityDir("grouped_untied"), 2},
                                         Case{"bundled_tp1", DemoModelDir(), 1},
                                         Case{"bundled_tp2", DemoModelDir(), 2}),
                         [](const auto& it) { return std::string(it.param.name); });

}  // namespace
}  // namespace sluice::worker
