// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/prompt_echo.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/gateway/session/real_tokenizer.h"

namespace sluice::gateway {
namespace {

using testing::RealTokenizer;

std::vector<TokenId> Encode(const std::string& text) { return *RealTokenizer()->Encode(text); }

// Scores that say which id they belong to: the i-th has -i, and two alternatives.
std::vector<TokenLogprobs> Scores(size_t first, size_t count) {
  std::vector<TokenLogprobs> scores;
  for (size_t i = first; i < first + count; ++i) {
    scores.push_back(
        {.logprob = -static_cast<float>(i), .top_ids = {5, 6}, .top_logprobs = {0, -1}});
  }
  return scores;
}

// The joined deltas when the scores of all ids come so many at a time.
ChoiceDelta Told(const std::vector<TokenId>& ids, const PromptEchoOptions& options,
                 size_t at_once) {
  PromptEcho echo(*RealTokenizer(), ids, options);
  ChoiceDelta whole;
  size_t next = 1;
  do {
    const size_t count = std::min(at_once, ids.size() - next);
    const auto delta =
        echo.Append(options.needs_scores() ? Scores(next, count) : std::vector<TokenLogprobs>());
    EXPECT_TRUE(delta.ok()) << delta.status();
    JoinDelta(*delta, whole);
    next += count;
  } while (!echo.complete());
  return whole;
}

class PromptEchoTest : public ::testing::Test {
 protected:
  void SetUp() override { SLUICE_REQUIRE_TOKENIZER(); }
};

TEST_F(PromptEchoTest, TextAloneNeedsNoScores) {
  const PromptEchoOptions options = {.echo = true};
  EXPECT_FALSE(options.needs_scores());
  EXPECT_EQ(options.top_k(), std::nullopt);
  const std::string text = "<|im_start|>user\nnaïve 你好 🙂<|im_end|>";
  const ChoiceDelta told = Told(Encode(text), options, 1);
  EXPECT_EQ(told.content, text) << "control tokens are the caller's own";
  EXPECT_TRUE(told.logprobs.empty());
  EXPECT_EQ(told.completion_tokens, 0);
}

TEST_F(PromptEchoTest, EntriesStandBesideTheirTextForAnyChunking) {
  const std::string text = "<|im_start|>naïve 你好 🙂🙂 and 鿿 tabs\t.";
  const std::vector<TokenId> ids = Encode(text);
  const PromptEchoOptions options = {.echo = true, .echo_logprobs = 1, .prompt_logprobs = 2};
  EXPECT_EQ(options.top_k(), 2);
  for (const size_t at_once : {size_t{1}, size_t{2}, size_t{7}, ids.size()}) {
    const ChoiceDelta told = Told(ids, options, at_once);
    EXPECT_EQ(told.content, text);
    ASSERT_EQ(told.logprobs.size(), ids.size());
    ASSERT_EQ(told.prompt_logprobs.size(), ids.size());
    std::string joined;
    for (size_t i = 0; i < ids.size(); ++i) {
      const LogprobEntry& entry = told.logprobs[i];
      joined += entry.output_bytes;
      EXPECT_EQ(entry.id, ids[i]);
      EXPECT_EQ(entry.logprob.has_value(), i > 0);
      EXPECT_EQ(entry.logprob.value_or(0.0f), -static_cast<float>(i));
      EXPECT_EQ(entry.top.size(), i > 0 ? 1u : 0u);
      EXPECT_EQ(told.prompt_logprobs[i].top.size(), i > 0 ? 2u : 0u);
    }
    EXPECT_EQ(joined, text);
  }
}

TEST_F(PromptEchoTest, APromptThatEndsInsideACharacterEndsThere) {
  std::vector<TokenId> ids = Encode("a 𒀀");
  ASSERT_GE(ids.size(), 4u) << "a character so rare has no id of its own";
  ids.pop_back();
  const ChoiceDelta told = Told(ids, {.echo = true, .echo_logprobs = 0}, 1);
  EXPECT_EQ(told.content, RealTokenizer()->Decode(ids, false));
  EXPECT_EQ(told.logprobs.size(), ids.size());
}

TEST_F(PromptEchoTest, OneIdHasNothingToWaitFor) {
  PromptEcho echo(*RealTokenizer(), Encode("a"), {.echo = true, .echo_logprobs = 3});
  const auto delta = echo.Append({});
  ASSERT_TRUE(delta.ok());
  EXPECT_TRUE(echo.complete());
  ASSERT_EQ(delta->logprobs.size(), 1u);
  EXPECT_FALSE(delta->logprobs[0].logprob.has_value());
  EXPECT_EQ(delta->logprobs[0].output_bytes, "a");
}

TEST_F(PromptEchoTest, MoreScoresThanIdsAreTheWorkersFault) {
  PromptEcho echo(*RealTokenizer(), {1, 2, 3}, {.prompt_logprobs = 0});
  EXPECT_EQ(echo.Append(Scores(1, 3)).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace sluice::gateway
