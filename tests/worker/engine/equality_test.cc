// SPDX-License-Identifier: Apache-2.0
// What a request generates does not depend on what is around it: scheduler and CPU executors
// together, over real checkpoints, give the same ids and the same log probabilities, bit for bit,
// alone and in a batch of 32, for any chunk size, with the prefix cache off, cold and warm,
// preempted or not, with drafts, and on any number of ranks.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/executor/executor_group.h"
#include "tests/worker/model/model_runner.h"
#include "worker/scheduler/scheduler.h"

namespace sluice::worker {
namespace {

constexpr int kVocab = 2048;
constexpr char kCheckpoint[] = "grouped_untied";

struct Prompt {
  std::vector<TokenId> ids{};
  int n = 1;
  uint32_t first_choice = 0;
  float temperature = 0.0f;
  uint64_t seed = 0;
  int max_tokens = 16;
};

// One generated id with its log probability, to the last bit, and those of the likeliest two.
struct Token {
  TokenId id = 0;
  float logprob = 0.0f;
  std::vector<TokenId> top_ids{};
  std::vector<float> top_logprobs{};
  bool operator==(const Token&) const = default;
};

using Output = std::vector<Token>;
using Outputs = std::vector<std::vector<Output>>;  // [prompt][choice]

struct Setting {
  int tp_size = 1;
  int rows = 32;
  int chunk = 2048;  // tokens a step
  int pages = 200;
  bool prefix_cache = true;
  int max_drafts = 0;
};

// A scheduler over a group, as the engine would drive it but without threads: the next step is
// submitted before the last one is collected, unless it has to wait for drafts.
class Serving {
 public:
  explicit Serving(const Setting& setting)
      : scheduler_({.max_rows = setting.rows,
                    .max_batched_tokens = std::max(setting.rows, setting.chunk),
                    .num_pages = setting.pages,
                    .max_model_len = 6 * kPageTokens,
                    .prefix_cache = setting.prefix_cache,
                    .max_drafts = setting.max_drafts,
                    .speculation_max_rows = setting.rows}),
        group_(ExecutorGroup::Make(ParityDir(kCheckpoint), setting.tp_size,
                                   {.num_pages = setting.pages,
                                    .max_rows = setting.rows,
                                    .max_batched_tokens = std::max(setting.rows, setting.chunk),
                                    .threads = 1})) {}

  // All at once.
  Outputs Generate(const std::vector<Prompt>& prompts) {
    Outputs outputs(prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) Add(prompts[i], outputs[i]);
    StepId planned = done_;
    while (!scheduler_.empty() || planned > done_) {
      while (planned < done_ + 2) {
        auto step = scheduler_.Plan();
        if (!step) break;
        planned = step->plan.step;
        group_->Submit(std::move(step->plan));
      }
      const std::vector<RowSample> samples = group_->Collect().samples;
      std::vector<SampleOutcome> outcomes;
      for (const RowSample& sample : samples) {
        EXPECT_FALSE(sample.bad_logits);
        SampleOutcome& outcome = outcomes.emplace_back();
        for (const SampledToken& token : sample.tokens) outcome.ids.push_back(token.id);
      }
      const std::vector<SequenceId> ids = scheduler_.CompleteStep(outcomes);
      scheduler_.SetStepDone(++done_);
      for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] == kNoSequence) continue;
        Open& sequence = open_.at(ids[i]);
        for (const auto& [id, logprobs] : samples[i].tokens) {
          sequence.output->push_back(
              {id, logprobs.logprob, logprobs.top_ids, logprobs.top_logprobs});
        }
        if (sequence.output->size() == sequence.max_tokens) scheduler_.Remove(ids[i]);
      }
    }
    return outputs;
  }

  SchedulerLoad Load() const { return scheduler_.Load(); }

 private:
  struct Open {
    Output* output;
    size_t max_tokens;
  };

  void Add(const Prompt& prompt, std::vector<Output>& outputs) {
    outputs.resize(static_cast<size_t>(prompt.n));
    auto params = std::make_shared<SamplingParams>();
    params->temperature = prompt.temperature;
    params->seed = prompt.seed;
    params->logprobs = 2;
    const auto ids = std::make_shared<const std::vector<TokenId>>(prompt.ids);
    for (int i = 0; i < prompt.n; ++i) {
      ++next_id_;
      open_[next_id_] = {&outputs[static_cast<size_t>(i)], static_cast<size_t>(prompt.max_tokens)};
      scheduler_.Add({.id = next_id_,
                      .max_length = static_cast<int>(ids->size()) + prompt.max_tokens,
                      .choice = prompt.first_choice + static_cast<uint32_t>(i),
                      .prompt = ids,
                      .params = params,
                      .prompt_group = prompt.n > 1 ? next_id_ - i : 0});
    }
  }

  Scheduler scheduler_;
  std::unique_ptr<ExecutorGroup> group_;
  std::map<SequenceId, Open> open_;
  SequenceId next_id_ = 0;
  StepId done_ = 0;
};

// 32 sequences; most prompts share a prefix of two and a half pages.
std::vector<Prompt> Prompts() {
  const std::vector<TokenId> prefix = RandomIds(7, 160, kVocab);
  std::vector<Prompt> prompts;
  for (uint64_t i = 0; i < 26; ++i) {
    Prompt prompt;
    if (i % 4 != 0) prompt.ids = prefix;
    const std::vector<TokenId> own = RandomIds(100 + i, 1 + static_cast<int>(i * 5), kVocab);
    prompt.ids.insert(prompt.ids.end(), own.begin(), own.end());
    prompt.temperature = i % 3 == 0 ? 1.0f : 0.0f;
    prompt.seed = i;
    prompts.push_back(std::move(prompt));
  }
  // Choices that part in the middle of a page, and at its very end.
  prompts[0] = {.ids = RandomIds(1, 100, kVocab), .n = 4, .temperature = 1.0f, .seed = 1};
  prompts[1] = {
      .ids = RandomIds(2, 2 * kPageTokens, kVocab), .n = 4, .temperature = 1.0f, .seed = 2};
  return prompts;
}

// Every choice alone, one after the other, with nothing cached or shared.
Outputs Alone(const std::vector<Prompt>& prompts) {
  Serving serving({.prefix_cache = false});
  Outputs outputs;
  for (Prompt prompt : prompts) {
    outputs.emplace_back();
    for (int n = std::exchange(prompt.n, 1); n > 0; --n, ++prompt.first_choice) {
      outputs.back().push_back(serving.Generate({prompt})[0][0]);
    }
  }
  return outputs;
}

const Outputs& AllAlone() {
  static const auto* outputs = new Outputs(Alone(Prompts()));
  return *outputs;
}

TEST(EqualityTest, ChunksCacheAndBatchChangeNothing) {
  for (const int chunk : {16, 64, 2048}) {
    Serving serving({.rows = chunk == 16 ? 16 : 32, .chunk = chunk});
    EXPECT_EQ(serving.Generate(Prompts()), AllAlone()) << "cold, chunk " << chunk;
    const int64_t hits = serving.Load().prefix_tokens_hit;
    EXPECT_EQ(serving.Generate(Prompts()), AllAlone()) << "warm, chunk " << chunk;
    EXPECT_GT(serving.Load().prefix_tokens_hit, hits);
  }
}

TEST(EqualityTest, PreemptionChangesNothing) {
  std::vector<Prompt> prompts = Prompts();
  prompts.resize(6);
  for (Prompt& prompt : prompts) prompt.max_tokens = 140;
  const Outputs alone = Alone(prompts);
  for (const bool prefix_cache : {true, false}) {
    Serving serving({.chunk = 64, .pages = 18, .prefix_cache = prefix_cache});
    EXPECT_EQ(serving.Generate(prompts), alone);
    EXPECT_GT(serving.Load().preemptions, 0);
  }
}

TEST(EqualityTest, DraftsChangeNothing) {
  // Long enough for the greedy ones to fall into loops.
  std::vector<Prompt> prompts = Prompts();
  prompts.resize(8);
  for (Prompt& prompt : prompts) prompt.max_tokens = 100;
  const Outputs alone = Alone(prompts);
  for (const int tp_size : {1, 2}) {
    for (const int pages : {200, 24}) {
      Serving serving({.tp_size = tp_size, .chunk = 64, .pages = pages, .max_drafts = 8});
      EXPECT_EQ(serving.Generate(prompts), alone) << "cold, tp " << tp_size;
      EXPECT_EQ(serving.Generate(prompts), alone) << "warm, tp " << tp_size;
      const SchedulerLoad load = serving.Load();
      EXPECT_GT(load.accepted_tokens, 0);
      EXPECT_GT(load.drafted_tokens, load.accepted_tokens);
      EXPECT_EQ(load.preemptions > 0, pages == 24);
    }
  }
}

TEST(EqualityTest, RanksChangeNothing) {
  for (const int tp_size : {2, 4}) {
    Serving serving({.tp_size = tp_size, .chunk = 64});
    EXPECT_EQ(serving.Generate(Prompts()), AllAlone()) << "cold, tp " << tp_size;
    EXPECT_EQ(serving.Generate(Prompts()), AllAlone()) << "warm, tp " << tp_size;
  }
}

}  // namespace
}  // namespace sluice::worker
