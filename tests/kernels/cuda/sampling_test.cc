// SPDX-License-Identifier: Apache-2.0
// The GPU's sampler against the CPU's: the same ids from the same logits, draw by draw. Both weigh
// an id alike to the bit and add up differently, so they could part where a draw lies within 1e-8
// of a boundary; with these seeds none does.
#include "kernels/sampling/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/kernels/cuda/sampler_fixture.h"

namespace sluice::kernels::sampling {
namespace {

using RowRun = SamplerPair::RowRun;

class SamplingTest : public CudaTest {
 protected:
  std::mt19937 rng_{7};
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes = {{.vocab = 1000, .num_token_ids = 1000},
                               {.vocab = 1001, .num_token_ids = 990},  // no vector loads
                               {.vocab = 1040, .num_token_ids = 1024, .world = 2},
                               {.vocab = 4992, .num_token_ids = 4980, .world = 4, .num_sms = 1},
                               {.vocab = 3016, .num_token_ids = 2900, .world = 8},
                               {.vocab = 2050, .num_token_ids = 2050, .world = 2},
                               // More segments than a warp has lanes.
                               {.vocab = 40960, .num_token_ids = 40900, .world = 2}};
  if (kSmallShapes) return shapes;
  for (const int world : {1, 2, 4, 8}) {
    shapes.push_back(
        {.vocab = 151936, .num_token_ids = 151669, .world = world, .num_sms = NumSms()});
  }
  return shapes;
}

std::string NameOf(const Shape& shape) {
  return "vocabulary " + std::to_string(shape.vocab) + " shards " + std::to_string(shape.world);
}

// Samples one position of each case, at several steps.
void SampleAll(const std::vector<RowCase>& cases, const Shape& shape, std::mt19937& rng, int steps,
               const SamplerPair::Options& options = {}) {
  const int count = static_cast<int>(cases.size());
  SamplerPair pair(shape, count + 1);
  std::map<int, RowCase> rows;
  std::vector<RowRun> runs;
  for (int i = 0; i < count; ++i) {
    const int row = count - i;  // row 0 stays unused
    rows[row] = cases[static_cast<size_t>(i)];
    runs.push_back({row, {}});
  }
  pair.Add(rows);
  for (int step = 0; step < steps; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    pair.Step(runs, RandomLogits(rng, count, shape.vocab, 1.0f + static_cast<float>(step)),
              options);
  }
}

// As rows 0 and on. Returns a run of each, without drafts.
std::vector<RowRun> AddRows(const std::vector<RowCase>& cases, SamplerPair& pair) {
  std::map<int, RowCase> rows;
  std::vector<RowRun> runs;
  for (const RowCase& one : cases) {
    const auto row = static_cast<int>(runs.size());
    rows[row] = one;
    runs.push_back({row, {}});
  }
  pair.Add(rows);
  return runs;
}

std::vector<int32_t> RandomIds(std::mt19937& rng, int vocab, int count) {
  std::uniform_int_distribution<int32_t> any(-1, vocab + 1);  // some that do not exist
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = any(rng);
  return ids;
}

RowCase Greedy() {
  RowCase c;
  c.params.temperature = 0.0f;
  return c;
}

RowCase Random(std::mt19937& rng) {
  RowCase c;
  c.params.seed = uint64_t{rng()} << 32 | rng();
  c.params.choice = rng() % 5;
  return c;
}

using Change = void (*)(RowCase*, std::mt19937&, int vocab);

// Each parameter, strong enough to matter.
const std::vector<Change>& Changes() {
  static const std::vector<Change> changes = {
      [](RowCase* c, std::mt19937&, int) { c->params.temperature = 0.6f; },
      [](RowCase* c, std::mt19937&, int) { c->params.temperature = 2.5f; },
      [](RowCase* c, std::mt19937& rng, int) {
        c->params.top_k = 1 + static_cast<int>(rng() % 40);
      },
      [](RowCase* c, std::mt19937& rng, int) { c->params.top_p = 0.05f * (1 + rng() % 19); },
      [](RowCase* c, std::mt19937& rng, int) { c->params.min_p = 0.02f * (rng() % 20); },
      [](RowCase* c, std::mt19937& rng, int vocab) {
        c->params.repetition_penalty = 1.3f;
        c->prompt = RandomIds(rng, vocab, vocab / 2);
        c->output = RandomIds(rng, vocab, vocab / 4);
      },
      [](RowCase* c, std::mt19937& rng, int vocab) {
        c->params.presence_penalty = 1.1f;
        c->params.frequency_penalty = 0.7f;
        c->output = RandomIds(rng, vocab, vocab);
      },
      [](RowCase* c, std::mt19937& rng, int vocab) {
        std::map<int32_t, float> bias;
        for (const int32_t id : RandomIds(rng, vocab, 300)) {
          bias[id] = static_cast<float>(rng() % 9) - 4;
        }
        for (const auto& [id, value] : bias) c->bias.push_back({id, value});
      },
      [](RowCase* c, std::mt19937& rng, int vocab) { c->allowed = RandomIds(rng, vocab, 60); },
      [](RowCase* c, std::mt19937& rng, int vocab) { c->banned = RandomIds(rng, vocab, vocab); },
      [](RowCase* c, std::mt19937& rng, int vocab) {
        c->stop = RandomIds(rng, vocab, vocab / 2);
        c->params.min_tokens = static_cast<int64_t>(c->output.size()) + 2;
      },
      [](RowCase* c, std::mt19937&, int) { c->params.temperature = 0.0f; }};
  return changes;
}

TEST_F(SamplingTest, EachParameterAlone) {
  for (const Shape& shape : Shapes()) {
    SCOPED_TRACE(NameOf(shape));
    std::vector<RowCase> cases = {Random(rng_), Greedy()};
    for (const Change& change : Changes()) {
      cases.push_back(Random(rng_));
      change(&cases.back(), rng_, shape.vocab);
    }
    SampleAll(cases, shape, rng_, 4);
  }
}

TEST_F(SamplingTest, ParametersTogether) {
  for (const Shape& shape : Shapes()) {
    SCOPED_TRACE(NameOf(shape));
    std::vector<RowCase> cases;
    for (int i = 0; i < 24; ++i) {
      cases.push_back(Random(rng_));
      for (const Change& change : Changes()) {
        if (rng_() % 3 == 0) change(&cases.back(), rng_, shape.vocab);
      }
      if (rng_() % 2 == 0) cases.back().logprobs = static_cast<int>(rng_() % 21);
    }
    for (const bool processed : {false, true}) {
      SampleAll(cases, shape, rng_, 2, {.processed_logprobs = processed});
    }
  }
}

TEST_F(SamplingTest, Qwen3sVocabularyAndDefaults) {
  std::vector<RowCase> cases = {Random(rng_), Random(rng_), Random(rng_), Random(rng_)};
  for (RowCase& c : cases) c.logprobs = 20;
  cases[0].params.temperature = 0.6f;  // thinking
  cases[0].params.top_k = 20;
  cases[0].params.top_p = 0.95f;
  cases[1].params.temperature = 0.7f;  // not thinking
  cases[1].params.top_k = 20;
  cases[1].params.top_p = 0.8f;
  cases[2].params.top_p = 0.95f;
  for (const bool processed : {false, true}) {
    SampleAll(cases, {.vocab = 151936, .num_token_ids = 151669, .world = 8}, rng_, 1,
              {.processed_logprobs = processed});
  }
}

TEST_F(SamplingTest, GreedyRowsNeedNoOtherPasses) {
  const Shape shape = {.vocab = 2000, .num_token_ids = 1990};
  std::vector<RowCase> cases(5, Greedy());
  cases[1].banned = RandomIds(rng_, shape.vocab, 1500);
  SampleAll(cases, shape, rng_, 3, {.any_random = false, .any_logprobs = false});
}

TEST_F(SamplingTest, NarrowRowsNeedNoWeights) {
  // Enough segments for each top_k that is narrow, and too few.
  for (const int vocab : {69632, 3000}) {
    const Shape shape = {.vocab = vocab, .num_token_ids = vocab - 40};
    std::vector<RowCase> cases = {Greedy()};
    for (const int top_k : {1, 2, 20, kNarrowTopK}) {
      cases.push_back(Random(rng_));
      cases.back().params.top_k = top_k;
      cases.back().params.top_p = top_k == 20 ? 0.9f : 1.0f;
      cases.back().params.temperature = 0.7f;
    }
    cases[2].output = RandomIds(rng_, vocab, 500);
    cases[2].params.repetition_penalty = 1.2f;
    cases.push_back(cases[3]);
    cases.back().allowed = RandomIds(rng_, vocab, 9);
    cases.push_back(cases[3]);
    cases.back().banned = RandomIds(rng_, vocab, vocab / 2);
    cases.push_back(cases[3]);
    cases.back().bias = {{5, 12.0f}, {vocab - 100, 11.0f}, {77, -30.0f}};
    SampleAll(cases, shape, rng_, 2, {.any_broad = false, .any_logprobs = false});
    for (RowCase& c : cases) c.logprobs = 20;
    SampleAll(cases, shape, rng_, 1, {.any_broad = false});
    SampleAll(cases, shape, rng_, 1, {.processed_logprobs = true, .any_broad = false});
    cases.push_back(Random(rng_));  // what is broad, but not cut
    cases.back().params.min_p = 0.01f;
    SampleAll(cases, shape, rng_, 1, {.any_broad_cut = false});
  }
}

TEST_F(SamplingTest, InAGraph) {
  std::vector<RowCase> cases;
  for (const Change& change : Changes()) {
    cases.push_back(Random(rng_));
    cases.back().logprobs = 4;
    change(&cases.back(), rng_, 3000);
  }
  SampleAll(cases, {.vocab = 3000, .num_token_ids = 3000}, rng_, 2, {.in_graph = true});
}

TEST_F(SamplingTest, LowestOfEqualsAndNoPadding) {
  const Shape shape = {.vocab = 1200, .num_token_ids = 1100};
  SamplerPair pair(shape, 1);
  pair.Add({{0, Greedy()}});
  std::vector<float> logits(1200, -1.0f);
  logits[1150] = 9.0f;  // padding
  logits[300] = logits[77] = logits[1099] = 4.0f;
  EXPECT_EQ(pair.Step({{0, {}}}, logits)[0], 77);
  std::fill(logits.begin(), logits.end(), -0.0f);
  logits[500] = 0.0f;
  EXPECT_EQ(pair.Step({{0, {}}}, logits)[0], 0);
}

// More ids than a list holds share a bin, a value, or the whole probability.
void SampleFlatRows(const Shape& shape, std::mt19937& rng) {
  const auto vocab = static_cast<size_t>(shape.vocab);
  std::vector<RowCase> cases;
  for (const auto& [top_k, top_p, logprobs] : std::vector<std::tuple<int, float, int>>{
           {0, 0.5f, -1}, {3, 1.0f, 20}, {3000, 1.0f, 3}, {3000, 0.9f, 20}, {0, 1.0f, 20}}) {
    cases.push_back(Random(rng));
    cases.back().params.top_k = top_k;
    cases.back().params.top_p = top_p;
    cases.back().logprobs = logprobs;
  }
  cases.push_back(cases.back());
  cases.back().params.min_p = 0.9999f;
  cases.back().params.top_p = 0.7f;
  const int count = static_cast<int>(cases.size());
  std::normal_distribution<float> narrow(2.0f, 1e-3f);
  for (const bool equal : {false, true}) {
    for (const bool processed : {false, true}) {
      SamplerPair pair(shape, count);
      const std::vector<RowRun> runs = AddRows(cases, pair);
      std::vector<float> logits(static_cast<size_t>(count) * vocab);
      for (float& x : logits) x = equal ? 1.5f : narrow(rng);
      pair.Step(runs, logits, {.processed_logprobs = processed});
    }
  }
}

TEST_F(SamplingTest, FlatRowsThatNoListHolds) {
  SampleFlatRows({.vocab = 5000, .num_token_ids = 4990}, rng_);
  SampleFlatRows({.vocab = 40960, .num_token_ids = 40900}, rng_);
}

// What top_p keeps is more than is listed one by one: only the ids about as likely as the last are,
// few or many of them, with and without equals.
TEST_F(SamplingTest, TopPKeepsManyIds) {
  const Shape shape = {.vocab = kSmallShapes ? 20480 : 151936,
                       .num_token_ids = kSmallShapes ? 20450 : 151669,
                       .world = 2};
  for (const float step : {0.0f, 1.0f / 16, 1.0f}) {
    SCOPED_TRACE("values are multiples of " + std::to_string(step));
    std::vector<RowCase> cases;
    for (const float top_p : {0.5f, 0.95f, 0.999f}) {
      for (const float temperature : {0.6f, 1.0f, 2.0f}) {
        cases.push_back(Random(rng_));
        cases.back().params.top_p = top_p;
        cases.back().params.temperature = temperature;
      }
    }
    cases[1].params.min_p = 0.001f;
    cases[3].output = RandomIds(rng_, shape.vocab, 3000);
    cases[3].params.presence_penalty = 1.0f;
    cases[6].params.top_k = 15000;
    cases[7].banned = RandomIds(rng_, shape.vocab, 10000);
    cases[8].logprobs = 5;
    const int count = static_cast<int>(cases.size());
    SamplerPair pair(shape, count);
    const std::vector<RowRun> runs = AddRows(cases, pair);
    std::vector<float> logits = RandomLogits(rng_, count, shape.vocab, 2.5f);
    if (step > 0.0f) {
      for (float& x : logits) x = std::round(x / step) * step;
    }
    pair.Step(runs, logits, {.processed_logprobs = step > 0.5f});
  }
}

// Four equally likely ids, so that top_p is a whole number of them, or the least bit more.
TEST_F(SamplingTest, TopPEndsOnBoundaries) {
  const Shape shape = {.vocab = 1000, .num_token_ids = 1000};
  std::vector<float> row(1000, -100.0f);
  row[3] = row[400] = row[401] = row[999] = 5.0f;
  for (const int top_k : {0, 4, 500}) {
    std::map<int, RowCase> rows;
    std::vector<RowRun> runs;
    std::vector<float> logits;
    for (int i = 0; i < 60; ++i) {
      rows[i] = Random(rng_);
      const float whole = 0.25f * static_cast<float>(1 + i % 3);
      rows[i].params.top_p = i < 30 ? whole : std::nextafter(whole, 1.0f);
      rows[i].params.top_k = top_k;
      rows[i].logprobs = 20;
      runs.push_back({i, {}});
      logits.insert(logits.end(), row.begin(), row.end());
    }
    SamplerPair pair(shape, 60);
    pair.Add(rows);
    pair.Step(runs, logits, {.processed_logprobs = true});
    EXPECT_EQ(pair.logprobs()[0].num_top, 1);
    EXPECT_EQ(pair.logprobs()[30].num_top, 2);
  }
}

// What is far from the largest logit is most of the vocabulary, and together not nothing.
TEST_F(SamplingTest, TopPReachesIntoTheTail) {
  const Shape shape = {.vocab = 40960, .num_token_ids = 40960};
  std::vector<float> logits(40960, 3.9f);
  logits[35000] = 20.0f;
  for (const auto& [top_p, any] :
       std::vector<std::pair<float, bool>>{{0.995f, false}, {0.997f, true}}) {
    SamplerPair pair(shape, 1);
    RowCase c = Random(rng_);
    c.params.top_p = top_p;
    c.logprobs = 2;
    pair.Add({{0, c}});
    pair.Step({{0, {}}}, logits, {.processed_logprobs = true});
    EXPECT_EQ(pair.logprobs()[0].num_top > 1, any);
  }
}

TEST_F(SamplingTest, ZerosAreEqualWhateverTheirSign) {
  const Shape shape = {.vocab = 1000, .num_token_ids = 1000};
  std::vector<float> logits(1000, -5.0f);
  for (size_t id = 100; id < 200; ++id) logits[id] = rng_() % 2 == 0 ? 0.0f : -0.0f;
  for (const auto& [top_k, top_p] : std::vector<std::pair<int, float>>{{3, 1.0f}, {0, 0.3f}}) {
    for (int i = 0; i < 10; ++i) {
      SamplerPair pair(shape, 1);
      RowCase c = Random(rng_);
      c.params.top_k = top_k;
      c.params.top_p = top_p;
      c.logprobs = 20;
      pair.Add({{0, c}});
      pair.Step({{0, {}}}, logits, {.processed_logprobs = i % 2 == 0});
    }
  }
}

TEST_F(SamplingTest, VeryHotAndVeryCold) {
  const Shape shape = {.vocab = 1500, .num_token_ids = 1500};
  std::vector<RowCase> cases;
  for (const float temperature : {9e-6f, 1.1e-5f, 0.01f, 50.0f, 100.0f}) {
    for (const int top_k : {0, 30}) {
      cases.push_back(Random(rng_));
      cases.back().params.temperature = temperature;
      cases.back().params.top_k = top_k;
      cases.back().logprobs = 20;
    }
  }
  SampleAll(cases, shape, rng_, 2);
  SampleAll(cases, shape, rng_, 2, {.processed_logprobs = true});
  // The largest value leaves float's range when it is divided.
  SamplerPair pair(shape, 1);
  RowCase cold = Random(rng_);
  cold.params.temperature = 2e-5f;
  cold.logprobs = 4;
  pair.Add({{0, cold}});
  std::vector<float> logits = RandomLogits(rng_, 1, 1500, 1.0f);
  logits[901] = logits[902] = 3e37f;
  pair.Step({{0, {}}}, logits, {.processed_logprobs = true});
}

// The draws of a row with drafts equal those of one position at a time, wherever the drafts part
// from them; with penalties and min_tokens, which depend on the drafts before.
TEST_F(SamplingTest, DraftsAcceptedUpToEachPlace) {
  constexpr int kDrafts = 4;
  for (const int world : {1, 4}) {
    const Shape shape = {.vocab = 1600, .num_token_ids = 1590, .world = world};
    for (int wrong = 0; wrong <= kDrafts; ++wrong) {
      SCOPED_TRACE("draft " + std::to_string(wrong) + " is wrong");
      SamplerPair pair(shape, 4);
      RowCase penalized = Random(rng_), plain = Random(rng_), greedy = Greedy();
      penalized.params.repetition_penalty = 1.5f;
      penalized.params.frequency_penalty = 1.0f;
      penalized.params.presence_penalty = 0.5f;
      penalized.params.top_k = 20;
      penalized.prompt = {1, 2, 3, 3};
      penalized.output = {4, 5, 5};
      penalized.params.min_tokens = 5;
      for (int32_t id = 0; id < 1590; id += 2) penalized.stop.push_back(id);
      penalized.logprobs = plain.logprobs = 3;
      greedy.params.frequency_penalty = 2.0f;
      pair.Add({{1, penalized}, {2, plain}, {3, greedy}});
      // Few ids are likely, so that drafts repeat.
      std::vector<float> logits = RandomLogits(rng_, 3 * (kDrafts + 1), shape.vocab, 0.5f);
      for (size_t i = 0; i < logits.size(); i += 1600) {
        logits[i + 4] += 9.0f;
        logits[i + 11] += 9.5f;
        logits[i + 17] += 8.0f;
      }
      std::vector<RowRun> runs;
      for (int row = 1; row <= 3; ++row) {
        const auto begin = logits.begin() + int64_t{row - 1} * (kDrafts + 1) * shape.vocab;
        std::vector<int32_t> drafts = pair.Foresee(
            row, std::vector<float>(begin, begin + int64_t{kDrafts + 1} * shape.vocab));
        drafts.resize(kDrafts);
        if (wrong < kDrafts) drafts[static_cast<size_t>(wrong)] ^= 1;
        runs.push_back({row, drafts});
      }
      const std::vector<int32_t> ids = pair.Step(runs, logits, {.num_padded = 2});
      for (int i = 0; i <= kDrafts; ++i) {
        EXPECT_EQ(ids[static_cast<size_t>(i)] >= 0, i <= wrong) << "position " << i;
      }
      // What was kept carries on.
      pair.Step({{3, {}}, {1, {}}, {2, {}}}, RandomLogits(rng_, 3, shape.vocab, 1.0f));
    }
  }
}

TEST_F(SamplingTest, BadRowsFailAlone) {
  const Shape shape = {.vocab = 2052, .num_token_ids = 2000, .world = 2};
  for (const bool processed : {false, true}) {
    SamplerPair pair(shape, 6);
    std::map<int, RowCase> rows;
    std::vector<RowRun> runs;
    for (int row = 0; row < 6; ++row) {
      rows[row] = row % 2 == 0 ? Random(rng_) : Greedy();
      rows[row].logprobs = 5;
      rows[row].params.frequency_penalty = 0.5f;
      runs.push_back({row, {}});
    }
    rows[4].banned.resize(2000);
    std::iota(rows[4].banned.begin(), rows[4].banned.end(), 0);
    pair.Add(rows);
    std::vector<float> logits = RandomLogits(rng_, 6, 2052, 1.0f);
    logits[0 * 2052 + 5] = kNan;
    logits[1 * 2052 + 2051] = kInf;  // padding
    logits[3 * 2052 + 1030] = -kInf;
    pair.Step(runs, logits, {.processed_logprobs = processed});
    using enum SampleStatus;
    EXPECT_EQ(pair.status(), (std::vector<SampleStatus>{kBadLogits, kBadLogits, kSampled,
                                                        kBadLogits, kNothingAllowed, kSampled}));
    // They stay usable.
    pair.Step(runs, RandomLogits(rng_, 6, 2052, 1.0f), {.processed_logprobs = processed});
  }
}

TEST_F(SamplingTest, BadLogitsBehindAcceptedAndRejectedDrafts) {
  const Shape shape = {.vocab = 1000, .num_token_ids = 1000};
  SamplerPair pair(shape, 2);
  pair.Add({{0, Greedy()}, {1, Greedy()}});
  std::vector<float> logits = RandomLogits(rng_, 6, 1000, 1.0f);
  logits[10] = logits[1010] = logits[3010] = 50.0f;
  logits[1500] = kNan;  // row 0, after its first draft
  logits[4500] = kNan;  // row 1, likewise
  const std::vector<int32_t> ids = pair.Step({{0, {10, 10}}, {1, {11, 10}}}, logits);
  EXPECT_EQ(ids, (std::vector<int32_t>{10, 0, -1, 10, -1, -1}));
  EXPECT_EQ(pair.status()[1], SampleStatus::kBadLogits);
}

TEST_F(SamplingTest, BadLogitsAnywhereInALargeVocabulary) {
  const Shape shape = {.vocab = 40960, .num_token_ids = 40900};
  const std::vector<float> good = RandomLogits(rng_, 1, 40960, 1.0f);
  for (const size_t id : {0u, 32767u, 32768u, 39999u, 40959u}) {
    for (const float value : {kNan, kInf, -kInf}) {
      SamplerPair pair(shape, 1);
      pair.Add({{0, Random(rng_)}});
      std::vector<float> logits = good;
      logits[id] = value;
      pair.Step({{0, {}}}, logits);
      EXPECT_EQ(pair.status()[0], SampleStatus::kBadLogits);
    }
  }
}

// A row that is taken over keeps nothing of the one before.
TEST_F(SamplingTest, RowsAreReused) {
  const Shape shape = {.vocab = 1023, .num_token_ids = 1023};
  SamplerPair pair(shape, 3);
  for (int round = 0; round < 12; ++round) {
    RowCase c = Random(rng_);
    Changes()[static_cast<size_t>(round)](&c, rng_, shape.vocab);
    pair.Add({{1, c}});
    for (int step = 0; step < 2; ++step) {
      pair.Step({{1, {}}}, RandomLogits(rng_, 1, shape.vocab, 2.0f));
    }
  }
}

TEST_F(SamplingTest, SameResultsOverAnyNumberOfBlocks) {
  std::vector<RowCase> cases;
  for (int i = 0; i < 8; ++i) {
    cases.push_back(Random(rng_));
    cases.back().params.top_p = i % 2 == 0 ? 0.9f : 1.0f;
    cases.back().params.top_k = i % 3 == 0 ? 50 : 0;
    cases.back().logprobs = 7;
  }
  const std::vector<float> logits = RandomLogits(rng_, 8, 4096, 2.0f);
  std::vector<std::vector<Logprobs>> results;
  for (const int num_sms : {1, 3, 132}) {
    SamplerPair pair({.vocab = 4096, .num_token_ids = 4096, .num_sms = num_sms}, 8);
    std::map<int, RowCase> rows;
    std::vector<RowRun> runs;
    for (int i = 0; i < 8; ++i) {
      rows[i] = cases[static_cast<size_t>(i)];
      runs.push_back({i, {}});
    }
    pair.Add(rows);
    pair.Step(runs, logits);
    results.push_back(pair.logprobs());
  }
  for (size_t i = 0; i < 8; ++i) {
    for (size_t other = 1; other < results.size(); ++other) {
      EXPECT_EQ(results[0][i].chosen, results[other][i].chosen);
      for (int k = 0; k < 7; ++k) {
        EXPECT_EQ(results[0][i].top_logprobs[k], results[other][i].top_logprobs[k]);
      }
    }
  }
}

TEST_F(SamplingTest, ScoresPromptIds) {
  for (const Shape& shape : Shapes()) {
    SCOPED_TRACE(NameOf(shape));
    constexpr int kRows = 7;
    std::vector<float> logits = RandomLogits(rng_, kRows, shape.vocab, 3.0f);
    const auto vocab = static_cast<size_t>(shape.vocab);
    logits[2 * vocab + 999] = kNan;
    std::fill_n(logits.begin() + static_cast<int64_t>(4 * vocab), vocab, -3.0f);
    logits[5 * vocab + 3] = 1e30f;
    const std::vector<int32_t> top_k = {0, 20, 5, 1, 20, 20, 3};
    const std::vector<int32_t> chosen = {0, shape.vocab - 1, 1, 500, 2, 3, 4};
    const DeviceArray<float> device_logits(Sharded(logits, shape));
    const DeviceArray<int32_t> device_top_k(top_k), device_chosen(chosen);
    const DeviceArray<int32_t> valid(std::vector<int32_t>{kRows - 1});
    const DeviceArray<char> workspace(SamplerWorkspaceBytes(kRows, shape.vocab));
    const DeviceArray<Logprobs> out(kRows);
    ExpectOk(RunScoreLogits({.logits = ViewOf(device_logits, shape),
                             .num_token_ids = shape.num_token_ids,
                             .chosen = device_chosen.get(),
                             .top_k = device_top_k.get(),
                             .num_valid = valid.get(),
                             .num_logits = kRows,
                             .num_sms = shape.num_sms,
                             .workspace = workspace.get(),
                             .out = out.get()},
                            nullptr));
    const std::vector<Logprobs> got = out.ToHost();
    for (size_t i = 0; i + 1 < kRows; ++i) {
      SCOPED_TRACE("row " + std::to_string(i));
      ExpectSameLogprobs(got[i], cpu::RawLogprobs(logits.data() + i * vocab, shape.vocab,
                                                  shape.num_token_ids, chosen[i], top_k[i]));
    }
    EXPECT_EQ(got[kRows - 1].finite, -1);  // untouched
  }
}

// Of as many rows as were asked for, and nothing behind them.
TEST_F(SamplingTest, ReportsReachTheHost) {
  for (const int count : {1, 31, 257}) {
    std::vector<int32_t> ids(static_cast<size_t>(count) + 1);
    std::iota(ids.begin(), ids.end(), 1000);
    std::vector<SampleStatus> status(ids.size(), SampleStatus::kNotReached);
    status[0] = SampleStatus::kBadLogits;
    const DeviceArray<int32_t> device_ids(ids);
    const DeviceArray<SampleStatus> device_status(status);
    void* pinned = nullptr;
    CheckCuda(cudaMallocHost(&pinned, 2 * ids.size() * sizeof(int32_t)));
    auto* const host_ids = static_cast<int32_t*>(pinned);
    auto* const host_status = reinterpret_cast<SampleStatus*>(host_ids + ids.size());
    const auto report = [&](const SampleStatus* of_status) {
      std::fill_n(host_ids, ids.size(), -7);
      std::fill_n(host_status, ids.size(), SampleStatus::kSampled);
      ExpectOk(RunReportSamples({.ids = device_ids.get(),
                                 .status = of_status,
                                 .num_logits = count,
                                 .host_ids = host_ids,
                                 .host_status = host_status},
                                nullptr));
      CheckCuda(cudaDeviceSynchronize());
      EXPECT_TRUE(std::equal(host_ids, host_ids + count, ids.begin()));
      EXPECT_EQ(host_ids[count], -7);
    };
    report(device_status.get());
    EXPECT_TRUE(std::equal(host_status, host_status + count, status.begin()));
    EXPECT_EQ(host_status[count], SampleStatus::kSampled);
    report(nullptr);
    EXPECT_EQ(host_status[0], SampleStatus::kSampled);
    CheckCuda(cudaFreeHost(pinned));
  }
}

TEST_F(SamplingTest, ArgumentsAreChecked) {
  Sample sample;
  EXPECT_FALSE(RunSample(sample, nullptr).ok());
  EXPECT_FALSE(RunScoreLogits(ScoreLogits(), nullptr).ok());
  EXPECT_FALSE(RunSetRows({.upload = nullptr, .num_rows = 1, .state = {}}, nullptr).ok());
  EXPECT_FALSE(RunTakeSamples({.num_logits = 1}, nullptr).ok());
  EXPECT_FALSE(RunReportSamples({.num_logits = 1}, nullptr).ok());
  EXPECT_TRUE(RunSetRows({}, nullptr).ok());
}

}  // namespace
}  // namespace sluice::kernels::sampling
