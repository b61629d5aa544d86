// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace sluice::gateway {
namespace {

WorkloadOptions OptionsOf(const char* prompt, const char* output) {
  WorkloadOptions options;
  options.prompt_tokens = *LengthDistribution::Parse(prompt);
  options.output_tokens = *LengthDistribution::Parse(output);
  return options;
}

int64_t WordsOf(const std::string& text) { return 1 + std::count(text.begin(), text.end(), ' '); }

TEST(WorkloadTest, RequestsAreTheSameWhenMadeAgainAndDifferFromEachOther) {
  const Workload one(OptionsOf("uniform:20-60", "uniform:5-9"), AssumedPromptShape());
  const Workload two(OptionsOf("uniform:20-60", "uniform:5-9"), AssumedPromptShape());
  WorkloadOptions other_seed = OptionsOf("uniform:20-60", "uniform:5-9");
  other_seed.seed = 1;
  const Workload other(other_seed, AssumedPromptShape());
  std::set<std::string> prompts, beginnings;
  std::set<int> lengths;
  for (uint64_t i = 100; i-- > 0;) {
    const LoadRequest request = one.Make(i);
    EXPECT_EQ(request.prompt, two.Make(i).prompt);
    EXPECT_EQ(request.max_tokens, two.Make(i).max_tokens);
    EXPECT_NE(request.prompt, other.Make(i).prompt);
    EXPECT_EQ(WordsOf(request.prompt), request.prompt_tokens);
    EXPECT_GE(request.max_tokens, 5);
    EXPECT_LE(request.max_tokens, 9);
    prompts.insert(request.prompt);
    beginnings.insert(request.prompt.substr(0, 12));
    lengths.insert(request.prompt_tokens);
  }
  EXPECT_EQ(prompts.size(), 100u);
  EXPECT_GT(beginnings.size(), 95u);  // or the prefix cache would help
  EXPECT_GT(lengths.size(), 20u);
}

TEST(WorkloadTest, PrefixesAreShared) {
  WorkloadOptions options = OptionsOf("10", "5");
  options.shared_prefix_tokens = 50;
  options.num_prefixes = 3;
  const Workload workload(options, AssumedPromptShape());
  std::set<std::string> prefixes, rests;
  for (uint64_t i = 0; i < 60; ++i) {
    const LoadRequest request = workload.Make(i);
    EXPECT_EQ(request.prompt_tokens, 60);
    EXPECT_EQ(WordsOf(request.prompt), 60);
    size_t end = 0;
    for (int word = 0; word < 50; ++word) end = request.prompt.find(' ', end) + 1;
    prefixes.insert(request.prompt.substr(0, end));
    rests.insert(request.prompt.substr(end));
  }
  EXPECT_EQ(prefixes.size(), 3u);
  EXPECT_EQ(rests.size(), 60u);
}

TEST(WorkloadTest, AFilesPromptsComeInTurnAndMaySayTheirLength) {
  std::vector<LoadRequest> prompts(2);
  prompts[0].prompt = "a";
  prompts[0].max_tokens = 0;
  prompts[1].prompt = "b";
  prompts[1].max_tokens = 3;
  const Workload workload(OptionsOf("10", "77"), prompts);
  EXPECT_EQ(workload.Make(0).prompt, "a");
  EXPECT_EQ(workload.Make(0).max_tokens, 77);
  EXPECT_EQ(workload.Make(3).prompt, "b");
  EXPECT_EQ(workload.Make(3).max_tokens, 3);
}

}  // namespace
}  // namespace sluice::gateway
