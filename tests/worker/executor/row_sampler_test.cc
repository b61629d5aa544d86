// SPDX-License-Identifier: Apache-2.0
// Every sampling parameter from the request's struct to the drawn id, on rows that a real model
// produced, against NumPy (tests/reference/sampling_golden.py): which ids are left, how often each
// is drawn, and both kinds of log probabilities.
#include "worker/executor/cpu/row_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sluice::worker {
namespace {

using nlohmann::json;

constexpr int kRowsAtOnce = 125;
constexpr int kDraws = 2500;

// The golden's cases and the rows they name.
struct Golden {
  int vocab_size = 0;  // the tokenizer's
  int width = 0;       // of a row
  std::vector<std::vector<float>> rows;
  json cases;
};

const Golden& LoadGolden() {
  static const Golden* golden = [] {
    auto* made = new Golden();
    const std::string folder = SLUICE_SOURCE_DIR "/tests/golden/";
    std::ifstream text(folder + "sampling_recorded.json");
    const json parsed = json::parse(text);
    made->cases = parsed["cases"];
    made->vocab_size = parsed["header"]["vocab_size"];
    made->width = parsed["header"]["row"];
    std::ifstream binary(folder + "sampling_recorded.f32", std::ios::binary);
    std::vector<float> row(static_cast<size_t>(made->width));
    const auto bytes = static_cast<std::streamsize>(row.size() * sizeof(float));
    while (binary.read(reinterpret_cast<char*>(row.data()), bytes)) made->rows.push_back(row);
    // As the script does: the third row with its best three equal, and its next three.
    row = made->rows.at(2);
    std::vector<size_t> best(static_cast<size_t>(made->vocab_size));
    for (size_t i = 0; i < best.size(); ++i) best[i] = i;
    std::stable_sort(best.begin(), best.end(), [&](size_t a, size_t b) { return row[a] > row[b]; });
    for (size_t i = 0; i < 6; ++i) row[best[i]] = row[best[i / 3 * 3]];
    made->rows.push_back(row);
    return made;
  }();
  return *golden;
}

RowAdd::Sampling SamplingOf(const json& params, int vocab_size) {
  RowAdd::Sampling sampling;
  SamplingParams& p = sampling.params;
  p.temperature = params.value("temperature", p.temperature);
  p.top_k = params.value("top_k", p.top_k);
  p.top_p = params.value("top_p", p.top_p);
  p.min_p = params.value("min_p", p.min_p);
  p.repetition_penalty = params.value("repetition_penalty", p.repetition_penalty);
  p.presence_penalty = params.value("presence_penalty", p.presence_penalty);
  p.frequency_penalty = params.value("frequency_penalty", p.frequency_penalty);
  for (const json& pair : params.value("logit_bias", json::array())) {
    p.logit_bias.emplace_back(pair[0].get<TokenId>(), pair[1].get<float>());
  }
  p.allowed_token_ids = params.value("allowed_ids", std::vector<TokenId>());
  p.banned_token_ids = params.value("banned_ids", std::vector<TokenId>());
  if (params.contains("all_banned_but")) {
    const auto spared = params["all_banned_but"].get<std::vector<TokenId>>();
    for (TokenId id = 0; id < vocab_size; ++id) {
      if (std::find(spared.begin(), spared.end(), id) == spared.end()) {
        p.banned_token_ids.push_back(id);
      }
    }
  }
  p.min_tokens = params.value("min_tokens", 0);
  p.logprobs = 20;
  sampling.stop_ids = params.value("stop_ids", std::vector<TokenId>());
  sampling.prompt = params.value("prompt", std::vector<TokenId>());
  sampling.output = params.value("output", std::vector<TokenId>());
  return sampling;
}

// Samples one recorded row many times, each time as a sequence with a seed of its own.
std::vector<RowSample> DrawMany(const std::vector<float>& logits, const RowAdd::Sampling& sampling,
                                bool processed, int count) {
  const Golden& golden = LoadGolden();
  kernels::cpu::ThreadPool pool(1);
  RowSampler sampler(golden.width, golden.vocab_size, processed, &pool);
  RowTable table({.max_rows = kRowsAtOnce,
                  .num_pages = 2,
                  .max_batched_tokens = kRowsAtOnce,
                  .vocab_size = golden.width});
  RowOutputs outputs(kRowsAtOnce);
  std::vector<float> batch;
  for (int i = 0; i < kRowsAtOnce; ++i) batch.insert(batch.end(), logits.begin(), logits.end());
  std::vector<RowSample> all;
  StepPlan plan;
  while (static_cast<int>(all.size()) < count) {
    plan.added.clear();
    plan.pages.clear();
    plan.rows.clear();
    for (RowId row = 0; row < kRowsAtOnce; ++row) {
      auto own = std::make_shared<RowAdd::Sampling>(sampling);
      own->params.seed = 1000003 * (all.size() + static_cast<size_t>(row));
      own->choice = static_cast<uint32_t>(row % 3);
      plan.added.push_back({.row = row, .position = 0, .sampling = std::move(own)});
      plan.pages.push_back({.row = row, .pages = {1}});
      plan.rows.push_back({.row = row, .ids = {1}, .sample = true});
    }
    StepBatch step;
    EXPECT_TRUE(table.Apply(plan, &step).ok());
    outputs.Apply(plan);
    std::vector<RowSample> samples;
    EXPECT_TRUE(sampler.Sample(batch, step, &outputs, &samples).ok());
    all.insert(all.end(), samples.begin(), samples.end());
    plan.released_rows.clear();
    for (RowId row = 0; row < kRowsAtOnce; ++row) plan.released_rows.push_back(row);
  }
  return all;
}

// What a fair sampler's chi-square exceeds once in ten thousand times (Wilson and Hilferty's
// approximation).
double ChiSquareBound(int degrees) {
  const double v = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1.0 - v + 3.719 * std::sqrt(v), 3);
}

// Pearson's chi-square of the counts against the golden's probabilities; ids that are too rare to
// count alone, and those that the golden does not list, are counted together.
void ExpectDistribution(const json& expected, const std::map<TokenId, int>& counts, int draws) {
  const auto ids = expected["ids"].get<std::vector<TokenId>>();
  const auto probs = expected["probs"].get<std::vector<double>>();
  double chi_square = 0.0;
  double rest_expected = draws;
  int rest = draws;
  int bins = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const double mean = probs[i] * draws;
    if (mean < 8.0) continue;
    const auto found = counts.find(ids[i]);
    const int count = found == counts.end() ? 0 : found->second;
    chi_square += (count - mean) * (count - mean) / mean;
    rest_expected -= mean;
    rest -= count;
    ++bins;
  }
  if (rest_expected >= 8.0) {
    chi_square += (rest - rest_expected) * (rest - rest_expected) / rest_expected;
    ++bins;
  } else {
    EXPECT_LT(rest, 40) << "of ids that are all but impossible";
  }
  if (bins > 1) {
    EXPECT_LT(chi_square, ChiSquareBound(bins - 1)) << bins << " bins";
  }
}

TEST(RowSamplerTest, DrawsAreDistributedAsNumPySays) {
  const Golden& golden = LoadGolden();
  ASSERT_GE(golden.cases.size(), 35u);
  for (const json& g : golden.cases) {
    SCOPED_TRACE(g["name"].get<std::string>());
    const RowAdd::Sampling sampling = SamplingOf(g["params"], golden.vocab_size);
    std::map<TokenId, int> counts;
    for (const RowSample& sample :
         DrawMany(golden.rows.at(g["row"]), sampling, /*processed=*/false, kDraws)) {
      ASSERT_FALSE(sample.bad_logits);
      ++counts[sample.tokens.at(0).id];
    }
    const json& expected = g["expected"];
    const auto ids = expected["ids"].get<std::vector<TokenId>>();
    if (expected["left"].get<size_t>() == ids.size()) {
      for (const auto& [id, count] : counts) {
        EXPECT_NE(std::find(ids.begin(), ids.end(), id), ids.end()) << id << " was dropped";
      }
    }
    ExpectDistribution(expected, counts, kDraws);
  }
}

// The chosen id's and the list: values to float32's precision, ids wherever values are apart.
void ExpectLogprobs(const RowSample& sample, const json& ids, const json& values) {
  const TokenId chosen = sample.tokens.at(0).id;
  const TokenLogprobs& got = sample.tokens[0].logprobs;
  ASSERT_EQ(got.top_ids.size(), ids.size());
  bool listed = false;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto value = values[i].get<double>();
    EXPECT_NEAR(got.top_logprobs[i], value, 2e-5 * std::max(1.0, std::fabs(value))) << i;
    EXPECT_EQ(got.top_ids[i], ids[i].get<TokenId>()) << i;
    if (got.top_ids[i] != chosen) continue;
    EXPECT_EQ(got.logprob, got.top_logprobs[i]);
    listed = true;
  }
  if (!listed) {
    EXPECT_LE(got.logprob, got.top_logprobs.back());
  }
}

TEST(RowSamplerTest, RawLogprobsAreOfTheModelsLogits) {
  const Golden& golden = LoadGolden();
  for (const json& g : golden.cases) {
    SCOPED_TRACE(g["name"].get<std::string>());
    const RowAdd::Sampling sampling = SamplingOf(g["params"], golden.vocab_size);
    for (const RowSample& sample : DrawMany(golden.rows.at(g["row"]), sampling, false, 1)) {
      ExpectLogprobs(sample, g["expected"]["raw_top_ids"], g["expected"]["raw_top"]);
    }
  }
}

TEST(RowSamplerTest, ProcessedLogprobsAreOfWhatIsDrawnFrom) {
  const Golden& golden = LoadGolden();
  for (const json& g : golden.cases) {
    SCOPED_TRACE(g["name"].get<std::string>());
    const RowAdd::Sampling sampling = SamplingOf(g["params"], golden.vocab_size);
    for (const RowSample& sample : DrawMany(golden.rows.at(g["row"]), sampling, true, 1)) {
      ExpectLogprobs(sample, g["expected"]["processed_top_ids"], g["expected"]["processed_top"]);
    }
  }
}

TEST(RowSamplerTest, FewerLogprobsAreTheFirstOfThem) {
  const Golden& golden = LoadGolden();
  RowAdd::Sampling sampling;
  for (const bool processed : {false, true}) {
    sampling.params.logprobs = 20;
    const TokenLogprobs most =
        DrawMany(golden.rows[3], sampling, processed, 1)[0].tokens.at(0).logprobs;
    for (const int k : {0, 1, 7}) {
      sampling.params.logprobs = k;
      const TokenLogprobs fewer =
          DrawMany(golden.rows[3], sampling, processed, 1)[0].tokens.at(0).logprobs;
      EXPECT_EQ(fewer.logprob, most.logprob);
      EXPECT_EQ(fewer.top_ids,
                std::vector<TokenId>(most.top_ids.begin(), most.top_ids.begin() + k));
    }
  }
}

TEST(RowSamplerTest, MasksThatLeaveNothingFailTheRow) {
  const Golden& golden = LoadGolden();
  RowAdd::Sampling sampling;
  sampling.params.allowed_token_ids = {3};
  sampling.params.banned_token_ids = {3};
  EXPECT_TRUE(DrawMany(golden.rows[0], sampling, false, 1)[0].bad_logits);
}

}  // namespace
}  // namespace sluice::worker
