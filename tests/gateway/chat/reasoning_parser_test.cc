// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/reasoning_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/gateway/chat/output_pieces.h"

namespace sluice::gateway {
namespace {

using testing::Message;
using testing::ParseText;
using testing::WithoutTools;

constexpr int32_t kOpenId = 10;
constexpr int32_t kCloseId = 11;
constexpr int32_t kSpecialId = 12;

PromptThinking StateOf(const std::vector<int32_t>& ids) {
  return FindPromptThinking(ids, kOpenId, kCloseId, [](int32_t id) { return id == kSpecialId; });
}

TEST(FindPromptThinking, ReadsTheLastTurnOnly) {
  EXPECT_EQ(StateOf({}).state, Thinking::kUndecided);
  EXPECT_EQ(StateOf({1, kSpecialId, 2, 3}).state, Thinking::kUndecided);
  EXPECT_EQ(StateOf({kSpecialId, 2, kOpenId, 3, kCloseId, 3}).state, Thinking::kClosed);
  EXPECT_EQ(StateOf({kSpecialId, 2, kOpenId, 3}).state, Thinking::kOpen);
  EXPECT_FALSE(StateOf({kSpecialId, 2, kOpenId, 3}).ends_in_open_tag);
  EXPECT_TRUE(StateOf({kSpecialId, 2, kOpenId}).ends_in_open_tag);
  EXPECT_EQ(StateOf({kOpenId, kCloseId, kSpecialId, 2}).state, Thinking::kUndecided)
      << "an earlier turn's thinking says nothing";
  EXPECT_EQ(FindPromptThinking(std::vector<int32_t>{1, 2}, std::nullopt, std::nullopt,
                               [](int32_t) { return false; })
                .state,
            Thinking::kUndecided);
}

struct Case {
  Thinking state;
  std::string output;
  std::string reasoning;
  std::string content;
};

TEST(ReasoningParser, SplitsAndTrims) {
  const std::vector<Case> cases = {
      // vLLM's vectors of test_qwen3_reasoning_parser.py, with the prompt's state instead of its
      // guess.
      {Thinking::kUndecided, "<think>\nA\n</think>\n\nB", "A", "B"},
      {Thinking::kUndecided, "<think>A</think>B", "A", "B"},
      {Thinking::kUndecided, "<think>A\nA2\n</think>\n\nB\nB2", "A\nA2", "B\nB2"},
      {Thinking::kUndecided, "<think>\nonly open", "only open", ""},
      {Thinking::kOpen, "truncated without start", "truncated without start", ""},
      {Thinking::kOpen, "no start</think>B", "no start", "B"},
      {Thinking::kClosed, "plain", "", "plain"},
      {Thinking::kClosed, "\n\nplain", "", "\n\nplain"},
      // A model that does not think although it may.
      {Thinking::kUndecided, "plain", "", "plain"},
      {Thinking::kUndecided, "plain <think>x</think>", "", "plain <think>x"},
      {Thinking::kUndecided, "\n <think>x</think>y", "x", "y"},
      {Thinking::kUndecided, "  y", "", "  y"},
      {Thinking::kUndecided, " \n", "", " \n"},
      {Thinking::kUndecided, "</think>\n\ny", "", "y"},
      // The soft switch /no_think: an empty block is no reasoning.
      {Thinking::kUndecided, "<think>\n\n</think>\n\nB", "", "B"},
      {Thinking::kUndecided, "<think></think>B", "", "B"},
      {Thinking::kUndecided, "<think> \n \n</think>\n\n", "", ""},
      {Thinking::kUndecided, "<think>\n \t", "", ""},
      // No more is trimmed than the template puts there.
      {Thinking::kUndecided, "<think>\n\nA\n\n</think>\n\n\n B \n", "\nA\n", "\n B \n"},
      {Thinking::kUndecided, "<think>A</think>\nB", "A", "B"},
      {Thinking::kUndecided, "<think>A\n", "A\n", ""},
      // Further tags.
      {Thinking::kUndecided, "<think>A</think>\n\nB</think>C", "A", "BC"},
      {Thinking::kUndecided, "<think>A<think>B</think>C", "A<think>B", "C"},
      {Thinking::kUndecided, "<think>A<tool_call>B</think>C", "A<tool_call>B", "C"},
  };
  for (const Case& c : cases) {
    const Message message = ParseText(c.output, WithoutTools(c.state));
    EXPECT_EQ(message.reasoning, c.reasoning) << c.output;
    EXPECT_EQ(message.content, c.content) << c.output;
  }
}

TEST(ReasoningParser, TrimsAfterATagThatThePromptEndsIn) {
  OutputParserOptions options = WithoutTools(Thinking::kOpen);
  EXPECT_EQ(ParseText("\nA</think>B", options).reasoning, "\nA");
  options.prompt.ends_in_open_tag = true;
  EXPECT_EQ(ParseText("\nA</think>B", options).reasoning, "A");
}

TEST(ReasoningParser, LeavesEverythingInPlaceWhenNotAskedToSeparate) {
  for (const char* output : {"<think>\nA\n</think>\n\nB", " \n<think>", "</think>x</think>", " x",
                             "<think>A<tool_call></tool_call>"}) {
    for (const Thinking state : {Thinking::kUndecided, Thinking::kOpen, Thinking::kClosed}) {
      OutputParserOptions options = WithoutTools(state);
      options.separate_reasoning = false;
      const Message message = ParseText(output, options);
      EXPECT_EQ(message.content, output);
      EXPECT_EQ(message.reasoning, "");
    }
  }
}

TEST(ReasoningParser, CountsIdsBetweenTheTags) {
  std::mt19937 rng(1);
  const auto count = [&](std::string_view text, const OutputParserOptions& options) {
    int tokens = 0;
    testing::ParseAll(testing::Pieces(text, rng, 1), options, false, &tokens);
    return tokens;
  };
  EXPECT_EQ(count("<think>abc</think>de", WithoutTools()), 3);
  EXPECT_EQ(count("<think>\n\n</think>de", WithoutTools()), 2);
  EXPECT_EQ(count("abc", WithoutTools()), 0);
  EXPECT_EQ(count("abc", WithoutTools(Thinking::kOpen)), 3);
  // The call itself is not thinking; a quoted tag is.
  const std::string call = "<tool_call>{\"name\":\"f\"}</tool_call>";
  EXPECT_EQ(count("<think>abc" + call, testing::WithTools()), 3);
  EXPECT_EQ(count("<think>a<tool_call> b</think>c", testing::WithTools()), 4);
}

}  // namespace
}  // namespace sluice::gateway
