// SPDX-License-Identifier: Apache-2.0
// Against tokenizers that are made up: words of one to three tokens, other ones at the beginning of
// a text, and a template around it.
#include "gateway/cli/bench/prompt_shape.h"

#include <gtest/gtest.h>

#include <sstream>

#include "absl/status/status.h"

namespace sluice::gateway {
namespace {

constexpr int kTemplate = 14;

int TokensOf(const std::string& word, bool after_space) {
  const bool is_long = word.size() > 5 || (!after_space && word.size() == 5);
  return word[0] == 'w' ? 3 : is_long ? 2 : 1;
}

int64_t CountText(const std::string& text) {
  std::istringstream stream(text);
  int64_t tokens = kTemplate;
  bool first = true;
  for (std::string word; stream >> word; first = false) tokens += TokensOf(word, !first);
  return tokens;
}

int64_t PromptTokens(const PromptShape& shape, int tokens, uint64_t index) {
  RandomStream random(1, RandomStream::Purpose::kPrompt, index);
  return CountText(RandomWords(shape, shape.WordsFor(tokens - shape.template_tokens, 1), random));
}

TEST(PromptShapeTest, WithTokenizePromptsAreAsLongAsAsked) {
  int counts = 0;
  const auto shape = MeasureExactPromptShape([&counts](const std::string& text) {
    ++counts;
    return absl::StatusOr<int64_t>(CountText(text));
  });
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_LT(counts, 400);
  EXPECT_GT(shape->words.size(), 100u);
  for (const std::string& word : shape->words) EXPECT_EQ(TokensOf(word, true), 1) << word;
  for (int tokens : {15, 16, 100, 1000}) {
    for (uint64_t index = 0; index < 50; ++index) {
      // But for the first word, which has no space before it.
      EXPECT_NEAR(static_cast<double>(PromptTokens(*shape, tokens, index)), tokens, 1);
    }
  }
}

TEST(PromptShapeTest, WithTwoCountsPromptsAreAsLongOnAverage) {
  int counts = 0;
  const auto shape = MeasurePromptShape([&counts](const std::string& text) {
    ++counts;
    return absl::StatusOr<int64_t>(CountText(text));
  });
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(counts, 2);
  double mean = 0;
  for (uint64_t index = 0; index < 200; ++index) {
    mean += static_cast<double>(PromptTokens(*shape, 1000, index)) / 200;
  }
  EXPECT_NEAR(mean, 1000, 30);
}

TEST(PromptShapeTest, AVocabularyWithoutWholeWordsGivesItsMean) {
  const auto shape = MeasureExactPromptShape([](const std::string& text) {
    return absl::StatusOr<int64_t>(static_cast<int64_t>(text.size()));  // of bytes
  });
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_GT(shape->tokens_per_word, 3);
  EXPECT_LT(shape->tokens_per_word, 8);
  EXPECT_GT(shape->words.size(), 200u);
}

TEST(PromptShapeTest, WhatTheCounterSaysOfErrorsIsPassedOn) {
  const auto broken = [](const std::string&) {
    return absl::StatusOr<int64_t>(absl::CancelledError("interrupted"));
  };
  EXPECT_TRUE(absl::IsCancelled(MeasureExactPromptShape(broken).status()));
  EXPECT_FALSE(
      MeasurePromptShape([](const std::string&) { return absl::StatusOr<int64_t>(7); }).ok());
}

}  // namespace
}  // namespace sluice::gateway
