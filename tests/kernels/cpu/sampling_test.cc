// SPDX-License-Identifier: Apache-2.0
// The sampler against torch's restatement of vLLM's steps (tests/reference/sampling_golden.py), and
// each parameter alone on a row small enough to reason about.
#include "kernels/cpu/sampling/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/cpu/sampling/logprobs.h"
#include "kernels/host/philox.h"
#include "tests/kernels/cpu/isa_fixture.h"

namespace sluice::kernels::cpu {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(PhiloxTest, KnownAnswers) {
  using Words = PhiloxWords;
  EXPECT_EQ(Philox4x32({{0, 0, 0, 0}}, 0, 0),
            (Words{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  EXPECT_EQ(Philox4x32({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u),
            (Words{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
  EXPECT_EQ(Philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
            (Words{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
}

TEST(PhiloxTest, DrawsDependOnEachKey) {
  const double base = SampleUniform(1, 2, 3);
  EXPECT_EQ(base, SampleUniform(1, 2, 3));
  EXPECT_NE(base, SampleUniform(uint64_t{1} << 32 | 1, 2, 3));
  EXPECT_NE(base, SampleUniform(2, 2, 3));
  EXPECT_NE(base, SampleUniform(1, 3, 3));
  EXPECT_NE(base, SampleUniform(1, 2, 4));
}

// Owns what SamplerParams only points to.
struct Case {
  std::vector<float> logits;
  std::vector<LogitBias> bias;
  std::vector<int32_t> allowed, banned, stop, prompt, output;
  SamplerParams params;
  int64_t vocab_size = 0;
  int64_t output_position = 0;
  TokenHistory history;
};

void Parse(const nlohmann::json& j, Case* c) {
  c->logits = j["logits"].get<std::vector<float>>();
  c->vocab_size = j["vocab_size"];
  for (const auto& entry : j["logit_bias"]) c->bias.push_back({entry[0], entry[1]});
  c->allowed = j["allowed_ids"].get<std::vector<int32_t>>();
  c->banned = j["banned_ids"].get<std::vector<int32_t>>();
  c->stop = j["stop_ids"].get<std::vector<int32_t>>();
  c->history.AddPrompt(j["prompt"].get<std::vector<int32_t>>());
  c->history.AddOutput(j["output"].get<std::vector<int32_t>>());
  c->output_position = j["output_position"];
  SamplerParams& p = c->params;
  p.temperature = j["temperature"];
  p.top_k = j["top_k"];
  p.top_p = j["top_p"];
  p.min_p = j["min_p"];
  p.repetition_penalty = j["repetition_penalty"];
  p.presence_penalty = j["presence_penalty"];
  p.frequency_penalty = j["frequency_penalty"];
  p.logit_bias = c->bias;
  p.allowed_ids = c->allowed;
  p.banned_ids = c->banned;
  p.stop_ids = c->stop;
  p.min_tokens = j["min_tokens"];
  p.seed = j["seed"];
  p.choice = j["choice"];
}

class SamplingGoldenTest : public IsaTest {};
INSTANTIATE_TEST_SUITE_P(Isas, SamplingGoldenTest, AllIsas(), IsaTestName);

TEST_P(SamplingGoldenTest, EqualsTorch) {
  std::ifstream file(SLUICE_SOURCE_DIR "/tests/golden/sampling.json");
  ASSERT_TRUE(file) << "tests/golden/sampling.json is missing";
  const nlohmann::json golden = nlohmann::json::parse(file);
  ASSERT_GE(golden["cases"].size(), 80u);
  Sampler sampler;  // one for all: no state may leak from row to row
  int index = 0;
  for (const nlohmann::json& g : golden["cases"]) {
    SCOPED_TRACE("case " + std::to_string(index++));
    Case c;
    Parse(g["params"], &c);
    const nlohmann::json& expected = g["expected"];
    const auto logprobs = expected["logprobs"].get<std::vector<double>>();
    const Logprobs top = RawLogprobs(c.logits.data(), static_cast<int64_t>(c.logits.size()),
                                     c.vocab_size, 7, kMaxLogprobs);
    EXPECT_NEAR(top.chosen, logprobs[7], 2e-6);
    ASSERT_EQ(top.num_top, kMaxLogprobs);
    for (int i = 0; i < kMaxLogprobs; ++i) {
      EXPECT_EQ(top.top_ids[i], expected["top_ids"][i].get<int>());
      EXPECT_NEAR(top.top_logprobs[i], logprobs[top.top_ids[i]], 2e-6);
    }

    SampleResult result =
        sampler.Sample(c.logits, c.vocab_size, c.params, &c.history, c.output_position);
    ASSERT_EQ(result.outcome, SampleOutcome::kSampled);
    if (expected.contains("id")) {
      EXPECT_EQ(result.id, expected["id"].get<int>());
      continue;
    }
    const auto kept = expected["kept"].get<std::vector<int32_t>>();
    std::vector<int32_t> got;
    double total = 0.0;
    for (const Sampler::Candidate& candidate : sampler.CandidatesForTest()) {
      got.push_back(candidate.id);
      total += candidate.weight;
    }
    ASSERT_EQ(got, kept);
    for (size_t i = 0; i < kept.size(); ++i) {
      EXPECT_NEAR(sampler.CandidatesForTest()[i].weight / total, expected["probs"][i].get<double>(),
                  1e-6);
    }
    // The golden's processed logits are those of output_position 3; draws are compared at every
    // position.
    c.params.min_tokens = c.output_position < c.params.min_tokens ? 1000 : 0;
    for (int position = 0; position < 40; ++position) {
      result = sampler.Sample(c.logits, c.vocab_size, c.params, &c.history, position);
      EXPECT_EQ(result.id, expected["draws"][position].get<int>()) << "position " << position;
    }
  }
}

// ids sampled with the parameters' change, over many positions.
std::map<int32_t, int> Draw(const std::vector<float>& logits, const SamplerParams& params,
                            int draws = 400, const TokenHistory* history = nullptr) {
  Sampler sampler;
  std::map<int32_t, int> counts;
  for (int position = 0; position < draws; ++position) {
    const SampleResult r =
        sampler.Sample(logits, static_cast<int64_t>(logits.size()), params, history, position);
    EXPECT_EQ(r.outcome, SampleOutcome::kSampled);
    ++counts[r.id];
  }
  return counts;
}

std::vector<int32_t> Ids(const std::map<int32_t, int>& counts) {
  std::vector<int32_t> ids;
  for (const auto& [id, count] : counts) ids.push_back(id);
  return ids;
}

using IdList = std::vector<int32_t>;
const std::vector<float> kRow = {1.0f, 2.0f, 0.5f, 2.0f, -1.0f, 1.5f};

SampleResult Greedy(const std::vector<float>& logits, SamplerParams params = {},
                    const TokenHistory* history = nullptr, int64_t position = 0) {
  params.temperature = 0.0f;
  return Sampler().Sample(logits, static_cast<int64_t>(logits.size()), params, history, position);
}

TEST(SamplerTest, GreedyTakesTheLowestIdAmongEquals) { EXPECT_EQ(Greedy(kRow).id, 1); }

TEST(SamplerTest, BadLogitsFailTheRow) {
  for (float bad : {kNan, kInf, -kInf}) {
    for (size_t at : {size_t{0}, size_t{4}, size_t{5}}) {
      std::vector<float> row = kRow;
      row[at] = bad;
      EXPECT_EQ(Greedy(row).outcome, SampleOutcome::kBadLogits);
      EXPECT_EQ(Sampler().Sample(row, 6, {}, nullptr, 0).outcome, SampleOutcome::kBadLogits);
    }
  }
}

TEST(SamplerTest, PaddingRowsAreMasked) {
  std::vector<float> row = kRow;
  row.push_back(9.0f);
  SamplerParams greedy;
  greedy.temperature = 0.0f;
  EXPECT_EQ(Sampler().Sample(row, 7, greedy, nullptr, 0).id, 6);
  EXPECT_EQ(Sampler().Sample(row, 6, greedy, nullptr, 0).id, 1);
}

TEST(SamplerTest, MasksApply) {
  const IdList allowed = {0, 2, 4, 77, -1};
  const IdList banned = {0, 77};
  SamplerParams params;
  params.allowed_ids = allowed;
  EXPECT_EQ(Greedy(kRow, params).id, 0);
  EXPECT_EQ(Ids(Draw(kRow, params)), (IdList{0, 2, 4}));
  params.banned_ids = banned;
  EXPECT_EQ(Ids(Draw(kRow, params)), (IdList{2, 4}));
  const IdList all_but_none = {2, 4};
  params.stop_ids = all_but_none;
  params.min_tokens = 3;
  EXPECT_EQ(Greedy(kRow, params, nullptr, 2).outcome, SampleOutcome::kNothingAllowed);
  EXPECT_EQ(Greedy(kRow, params, nullptr, 3).id, 2);
}

TEST(SamplerTest, LogitBiasAdds) {
  const std::vector<LogitBias> bias = {{4, 3.5f}, {1, -100.0f}, {99, 5.0f}};
  SamplerParams params;
  params.logit_bias = bias;
  EXPECT_EQ(Greedy(kRow, params).id, 4);
  params.top_k = 5;
  EXPECT_EQ(Ids(Draw(kRow, params, 4000)), (IdList{0, 2, 3, 4, 5}));
}

TEST(SamplerTest, PenaltiesFollowTheirHistories) {
  TokenHistory history;
  history.AddPrompt(IdList{1, 1});
  history.AddOutput(IdList{3, 3, 3, 4});
  SamplerParams params;
  params.repetition_penalty = 1.5f;  // prompt and output: 2 / 1.5 for ids 1 and 3, -1.5 for id 4
  EXPECT_EQ(Greedy(kRow, params, &history).id, 5);
  params = {};
  params.presence_penalty = 0.25f;  // output only, once
  EXPECT_EQ(Greedy({0.0f, 2.0f, 0.0f, 2.2f, 0.0f, 0.0f}, params, &history).id, 1);
  EXPECT_EQ(Greedy({0.0f, 2.0f, 0.0f, 2.3f, 0.0f, 0.0f}, params, &history).id, 3);
  params = {};
  params.frequency_penalty = 0.25f;  // output only, three times for id 3
  EXPECT_EQ(Greedy({0.0f, 2.0f, 0.0f, 2.7f, 0.0f, 0.0f}, params, &history).id, 1);
  EXPECT_EQ(Greedy({0.0f, 2.0f, 0.0f, 2.8f, 0.0f, 0.0f}, params, &history).id, 3);
  EXPECT_TRUE(params.UsesHistory());
  EXPECT_FALSE(SamplerParams{}.UsesHistory());
}

TEST(SamplerTest, TopKKeepsTies) {
  SamplerParams params;
  params.top_k = 1;
  EXPECT_EQ(Ids(Draw(kRow, params)), (IdList{1, 3}));
  params.top_k = 3;
  EXPECT_EQ(Ids(Draw(kRow, params)), (IdList{1, 3, 5}));
}

TEST(SamplerTest, LargeTopKUsesASelection) {
  std::mt19937 rng(41);
  const std::vector<float> row = RandomNormal(rng, 3000);
  for (int k : {255, 256, 257, 1000, 2999, 3000, 5000}) {
    SamplerParams params;
    params.top_k = k;
    Sampler sampler;
    sampler.Sample(row, 3000, params, nullptr, 0);
    EXPECT_EQ(sampler.CandidatesForTest().size(), static_cast<size_t>(std::min(k, 3000))) << k;
  }
}

TEST(SamplerTest, TopPKeepsTheCrossingId) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const std::vector<float> row = {0.0f, std::log(4.0f), std::log(2.0f), 0.0f};
  SamplerParams params;
  params.top_p = 0.4f;
  EXPECT_EQ(Ids(Draw(row, params)), (IdList{1}));
  params.top_p = 0.6f;
  EXPECT_EQ(Ids(Draw(row, params)), (IdList{1, 2}));
  params.top_p = 0.8f;  // the tie goes to the lower id
  EXPECT_EQ(Ids(Draw(row, params)), (IdList{0, 1, 2}));
  params.top_p = 1e-6f;
  EXPECT_EQ(Ids(Draw(row, params)), (IdList{1}));
}

TEST(SamplerTest, MinPIsRelativeToTheLargest) {
  const std::vector<float> row = {0.0f, std::log(4.0f), std::log(2.0f), 0.0f};
  SamplerParams params;
  params.min_p = 0.3f;
  EXPECT_EQ(Ids(Draw(row, params)), (IdList{1, 2}));
  params.min_p = 1.0f;
  EXPECT_EQ(Ids(Draw(row, params)), (IdList{1}));
}

TEST(SamplerTest, TinyTemperatureIsGreedyAndHugeLogitsDoNotOverflow) {
  SamplerParams params;
  params.temperature = 1e-6f;
  EXPECT_EQ(Ids(Draw(kRow, params)), (IdList{1}));
  params.temperature = 1e-4f;
  EXPECT_EQ(Ids(Draw({1.0f, 1e30f, -3e38f}, params)), (IdList{1}));
  EXPECT_EQ(Ids(Draw({1.0f, 3e37f, -3e38f}, params)), (IdList{1}));
}

TEST(SamplerTest, SameKeySameDraw) {
  std::mt19937 rng(42);
  const std::vector<float> row = RandomNormal(rng, 500);
  SamplerParams params;
  params.seed = 0x123456789ABCDEFull;
  Sampler used;
  used.Sample(RandomNormal(rng, 500), 500, params, nullptr, 9);
  int equal = 0;
  for (int position = 0; position < 100; ++position) {
    const int32_t id = used.Sample(row, 500, params, nullptr, position).id;
    EXPECT_EQ(id, Sampler().Sample(row, 500, params, nullptr, position).id);
    SamplerParams other = params;
    other.choice = 1;
    equal += id == used.Sample(row, 500, other, nullptr, position).id;
  }
  EXPECT_LT(equal, 20);  // choices draw on their own
}

// Draws follow the softmax: Pearson's chi-square on a fixed seed, against the bound that a fair
// sampler passes with probability 0.9999 (19 degrees of freedom: 50.8).
TEST(SamplerTest, DrawsFollowTheSoftmax) {
  std::mt19937 rng(43);
  const std::vector<float> row = RandomNormal(rng, 20);
  for (float temperature : {0.5f, 1.0f, 2.0f}) {
    for (uint64_t seed : {1ull, 2ull, 0xFFFFFFFF00000000ull}) {
      SamplerParams params;
      params.temperature = temperature;
      params.seed = seed;
      const int draws = 50000;
      std::map<int32_t, int> counts = Draw(row, params, draws);
      double total = 0.0;
      for (float x : row) total += std::exp(x / temperature);
      double chi_square = 0.0;
      for (int32_t id = 0; id < 20; ++id) {
        const double expected = draws * std::exp(row[id] / temperature) / total;
        ASSERT_GT(expected, 5.0);
        chi_square += (counts[id] - expected) * (counts[id] - expected) / expected;
      }
      EXPECT_LT(chi_square, 50.8) << "temperature " << temperature << " seed " << seed;
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::cpu
