// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/choice_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "tests/gateway/session/real_tokenizer.h"

namespace sluice::gateway {
namespace {

using testing::RealTokenizer;

constexpr TokenId kEos = 151645;            // of the real tokenizer
constexpr char kJoiner[] = "\xE2\x80\x8D";  // two tokens there

class ChoiceStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_TOKENIZER();
    options_.tokenizer = RealTokenizer();
    options_.control = ControlTokens::Find(*RealTokenizer());
    options_.logprobs = true;
    options_.parser.parse_tool_calls = true;
  }

  static std::vector<TokenId> Encode(const std::string& text) {
    return *RealTokenizer()->Encode(text);
  }

  // Everything in one chunk; log probabilities are minus the position.
  ChoiceDelta Run(std::vector<TokenId> ids, FinishReason finish = FinishReason::kLength,
                  std::optional<TokenId> stop_id = std::nullopt) {
    TokenChunk chunk;
    for (size_t i = 0; i < ids.size(); ++i) {
      chunk.logprobs.push_back({-static_cast<float>(i), {}, {}});
    }
    chunk.ids = std::move(ids);
    chunk.finish = finish;
    chunk.stop_id = stop_id;
    ChoiceStream stream(0, options_);
    std::vector<ChoiceDelta> deltas;
    stream.Append(chunk, deltas);
    EXPECT_TRUE(stream.ended());
    ChoiceDelta whole;
    for (const ChoiceDelta& delta : deltas) JoinDelta(delta, whole);
    return whole;
  }

  static std::string OutputBytes(const ChoiceDelta& delta) {
    std::string bytes;
    for (const LogprobEntry& entry : delta.logprobs) bytes += entry.output_bytes;
    return bytes;
  }

  ChoiceStreamOptions options_;
};

TEST_F(ChoiceStreamTest, EosEndsWithoutBeingSeen) {
  auto ids = Encode("<think>\nhm\n</think>\n\nHi");
  ids.push_back(kEos);
  const size_t count = ids.size();
  const ChoiceDelta whole = Run(ids, FinishReason::kStop, kEos);
  EXPECT_EQ(whole.reasoning, "hm");
  EXPECT_EQ(whole.content, "Hi");
  EXPECT_EQ(whole.end, ChoiceEnd::kStop);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(whole.stop_reason));
  EXPECT_EQ(whole.completion_tokens, static_cast<int>(count));
  ASSERT_EQ(whole.logprobs.size(), count) << "one entry per counted id";
  EXPECT_EQ(whole.logprobs.back().output_bytes, "");
  EXPECT_EQ(whole.logprobs.back().token, "<|im_end|>");
  EXPECT_EQ(OutputBytes(whole), "<think>\nhm\n</think>\n\nHi");
}

TEST_F(ChoiceStreamTest, TheRequestsOwnStopIdIsReported) {
  const auto ids = Encode("one two");
  options_.stop_token_ids = {ids.back()};
  ChoiceDelta whole = Run(ids, FinishReason::kStop, ids.back());
  EXPECT_EQ(whole.content, "one");
  EXPECT_EQ(std::get<int32_t>(whole.stop_reason), ids.back());
  options_.include_stop = true;
  whole = Run(ids, FinishReason::kStop, ids.back());
  EXPECT_EQ(whole.content, "one two");
}

TEST_F(ChoiceStreamTest, StopStringsCutTheTextAndTheBytes) {
  options_.parser.prompt.state = Thinking::kClosed;
  options_.stop = {"lo wo"};
  ChoiceDelta whole = Run(Encode("say hello world and more"));
  EXPECT_EQ(whole.content, "say hel");
  EXPECT_EQ(whole.end, ChoiceEnd::kStop);
  EXPECT_EQ(std::get<std::string>(whole.stop_reason), "lo wo");
  EXPECT_EQ(whole.completion_tokens, 3) << "say, hello, world";
  EXPECT_EQ(whole.logprobs.size(), 3u);
  EXPECT_EQ(OutputBytes(whole), "say hel");
  options_.include_stop = true;
  whole = Run(Encode("say hello world and more"));
  EXPECT_EQ(whole.content, "say hello wo");
  EXPECT_EQ(OutputBytes(whole), "say hello wo");
}

TEST_F(ChoiceStreamTest, MinTokensPassesOverEarlyStops) {
  options_.parser.prompt.state = Thinking::kClosed;
  options_.stop = {"a"};
  options_.min_tokens = 2;
  const ChoiceDelta whole = Run(Encode(" a b c a d"));
  EXPECT_EQ(whole.content, " a b c ");
}

TEST_F(ChoiceStreamTest, StopsInsideThinking) {
  options_.stop = {"STOP"};
  const ChoiceDelta whole = Run(Encode("<think>\na STOP b</think>c"));
  EXPECT_EQ(whole.reasoning, "a ");
  EXPECT_EQ(whole.content, "");
  EXPECT_EQ(whole.end, ChoiceEnd::kStop);
}

TEST_F(ChoiceStreamTest, ToolCallsEndWithTheirOwnReasonUnlessCutOff) {
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  auto ids = Encode(call);
  ids.push_back(kEos);
  ChoiceDelta whole = Run(ids, FinishReason::kStop, kEos);
  EXPECT_EQ(whole.end, ChoiceEnd::kToolCalls);
  ASSERT_EQ(whole.tool_calls.size(), 1u);
  EXPECT_EQ(whole.tool_calls[0].name, "f");
  EXPECT_EQ(whole.tool_calls[0].arguments, "{\"a\": 1}");
  EXPECT_EQ(whole.tool_calls[0].id.size(), 29u);
  EXPECT_EQ(whole.content, "");
  EXPECT_EQ(Run(Encode(call), FinishReason::kLength).end, ChoiceEnd::kLength);
  options_.stop = {"\"a\""};
  whole = Run(Encode(call));
  EXPECT_EQ(whole.end, ChoiceEnd::kStop);
  EXPECT_EQ(whole.tool_calls[0].arguments, "{");
}

TEST_F(ChoiceStreamTest, OnlyTheFirstCallWhenTheyMayNotBeParallel) {
  const std::string text =
      "<tool_call>{\"name\":\"f\"}</tool_call><tool_call>{\"name\":\"g\"}</tool_call>";
  EXPECT_EQ(Run(Encode(text)).tool_calls.size(), 2u);
  options_.parallel_tool_calls = false;
  EXPECT_EQ(Run(Encode(text)).tool_calls.size(), 1u);
}

TEST_F(ChoiceStreamTest, SplitCharactersArriveWholeAndEndsAreFlushed) {
  const auto ids = Encode(kJoiner);
  ASSERT_GE(ids.size(), 2u);
  ChoiceStream stream(0, options_);
  std::vector<ChoiceDelta> deltas;
  TokenChunk chunk;
  chunk.ids = {ids[0]};
  chunk.logprobs = {{-0.5f, {}, {}}};
  stream.Append(chunk, deltas);
  EXPECT_TRUE(deltas.empty());
  chunk.ids.assign(ids.begin() + 1, ids.end());
  chunk.logprobs.assign(ids.size() - 1, {-0.5f, {}, {}});
  stream.Append(chunk, deltas);
  ASSERT_EQ(deltas.size(), 1u);
  EXPECT_EQ(deltas[0].content, kJoiner);
  EXPECT_EQ(deltas[0].logprobs.size(), ids.size());

  const ChoiceDelta whole = Run({ids[0]});
  EXPECT_EQ(whole.content, "\xEF\xBF\xBD");
  EXPECT_EQ(OutputBytes(whole), *RealTokenizer()->TokenBytes(ids[0]));
}

TEST_F(ChoiceStreamTest, AControlTokenAfterHalfACharacter) {
  options_.parser.prompt.state = Thinking::kOpen;
  auto ids = Encode(kJoiner);
  ids.resize(1);
  for (const TokenId id : Encode("</think>b")) ids.push_back(id);
  const ChoiceDelta whole = Run(ids);
  EXPECT_EQ(whole.reasoning, "\xEF\xBF\xBD");
  EXPECT_EQ(whole.content, "b");
  EXPECT_EQ(whole.reasoning_tokens, 1);
}

TEST_F(ChoiceStreamTest, SpecialTokensAreSkippedUnlessAskedFor) {
  const auto ids = Encode("a<|im_start|>b");
  EXPECT_EQ(Run(ids).content, "ab");
  EXPECT_EQ(OutputBytes(Run(ids)), "ab");
  options_.skip_special_tokens = false;
  EXPECT_EQ(Run(ids).content, "a<|im_start|>b");
}

TEST_F(ChoiceStreamTest, DeltasAreOfOneKind) {
  ChoiceStream stream(3, options_);
  std::vector<ChoiceDelta> deltas;
  TokenChunk chunk;
  chunk.ids =
      Encode("<think>r</think>c<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>");
  stream.Append(chunk, deltas);
  ASSERT_EQ(deltas.size(), 4u);
  EXPECT_EQ(deltas[0].reasoning, "r");
  EXPECT_EQ(deltas[1].content, "c");
  EXPECT_EQ(deltas[2].tool_calls[0].name, "f");
  EXPECT_EQ(deltas[2].tool_calls[0].arguments, "");
  EXPECT_EQ(deltas[3].tool_calls[0].id, "");
  EXPECT_EQ(deltas[3].tool_calls[0].arguments, "{\"a\":1}");
  for (const ChoiceDelta& delta : deltas) EXPECT_EQ(delta.choice, 3);
}

}  // namespace
}  // namespace sluice::gateway
