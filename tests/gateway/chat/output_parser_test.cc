// SPDX-License-Identifier: Apache-2.0
// Streaming: however an output is cut into pieces, the joined events are the same, and nothing
// waits without need.
#include "gateway/chat/output_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/gateway/chat/output_pieces.h"

namespace sluice::gateway {
namespace {

using testing::Join;
using testing::Message;
using testing::ParseAll;
using testing::Pieces;
using testing::WithTools;

// Things that models write, and things that they should not.
std::string RandomOutput(std::mt19937& rng) {
  static const std::vector<std::string> kParts = {
      "<think>",
      "</think>",
      "<tool_call>",
      "</tool_call>",
      "\n",
      "\n\n",
      " ",
      "text",
      "{",
      "}",
      "{\"name\": \"f\", \"arguments\": ",
      "{\"a\": 1}",
      "{\"b\": \"x\\\"}\\n\"}",
      "\"",
      ",",
      "null",
      "{\"name\": \"g\"}",
      "<tool_call>\n{\"name\": \"h\", \"arguments\": {\"c\": [1, 2]}}\n</tool_call>",
      "\"{\\\"a\\\": \\\"\\ud83d\\ude00\\\"}\"",
      "{\"arguments\": {}, \"name\": \"k\"}",
      ": ",
      "\\",
      "<think>\nhm\n</think>\n\n"};
  std::string out;
  const unsigned count = rng() % 12;
  for (unsigned i = 0; i < count; ++i) out += kParts[rng() % kParts.size()];
  return out;
}

TEST(OutputParser, AnyChunkingGivesTheSameMessage) {
  std::mt19937 rng(11);
  int with_calls = 0;
  int with_reasoning = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string output = RandomOutput(rng);
    OutputParserOptions options = WithTools(static_cast<Thinking>(rng() % 3));
    options.parse_tool_calls = rng() % 4 != 0;
    options.separate_reasoning = rng() % 4 != 0;
    options.prompt.ends_in_open_tag = rng() % 2 == 0;
    const bool truncated = rng() % 3 == 0;
    const Message whole = ParseAll(Pieces(output, rng, 100000), options, truncated);
    with_calls += !whole.calls.empty();
    with_reasoning += !whole.reasoning.empty();
    for (const size_t longest : {1u, 2u, 7u}) {
      ASSERT_EQ(ParseAll(Pieces(output, rng, longest), options, truncated), whole) << output;
    }
  }
  EXPECT_GT(with_calls, 2000);
  EXPECT_GT(with_reasoning, 2000);
}

TEST(OutputParser, WithoutParsingNothingIsLost) {
  std::mt19937 rng(12);
  for (int i = 0; i < 5000; ++i) {
    const std::string output = RandomOutput(rng);
    OutputParserOptions options = testing::WithoutTools(static_cast<Thinking>(rng() % 3));
    options.separate_reasoning = false;
    const Message message = ParseAll(Pieces(output, rng, 3), options, rng() % 2 == 0);
    ASSERT_EQ(message.content, output);
  }
}

TEST(OutputParser, ArgumentsStreamAsTheyAreWritten) {
  std::mt19937 rng(1);
  OutputParser parser(WithTools(Thinking::kClosed));
  Message message;
  const auto feed = [&](const std::string& text) {
    for (const OutputPiece& piece : Pieces(text, rng, 1000)) Join(parser.Append(piece), message);
  };
  feed("<tool_call>\n{\"name\": \"f\"");
  EXPECT_TRUE(message.calls.empty()) << "it may still turn out to be no call";
  feed(", \"arguments\": {");
  ASSERT_EQ(message.calls.size(), 1u);
  EXPECT_EQ(message.calls[0].second, "{");
  feed("\"a\": \"lo");
  EXPECT_EQ(message.calls[0].second, "{\"a\": \"lo");
  feed("ng\"}");
  EXPECT_EQ(message.calls[0].second, "{\"a\": \"long\"}");
}

TEST(OutputParser, TextIsHeldBackOnlyAsWhiteSpace) {
  std::mt19937 rng(1);
  OutputParser parser(WithTools());
  Message message;
  const auto feed = [&](const std::string& text) {
    for (const OutputPiece& piece : Pieces(text, rng, 1000)) Join(parser.Append(piece), message);
  };
  feed("<think>\nab\n");
  EXPECT_EQ(message.reasoning, "ab");
  feed("c");
  EXPECT_EQ(message.reasoning, "ab\nc");
  feed("\n</think>\n\nHello \n");
  EXPECT_EQ(message.content, "Hello");
  feed("you");
  EXPECT_EQ(message.content, "Hello \nyou");
}

TEST(OutputParser, EveryCompleteCallHasValidArguments) {
  std::mt19937 rng(5);
  for (int i = 0; i < 2000; ++i) {
    nlohmann::ordered_json arguments = nlohmann::ordered_json::object();
    const unsigned count = rng() % 4;
    for (unsigned k = 0; k < count; ++k) {
      std::string value;
      for (unsigned c = rng() % 6; c > 0; --c) value += static_cast<char>(1 + rng() % 127);
      arguments["k" + std::to_string(k)] = {value, rng() % 100, {{"x", nullptr}}};
    }
    const std::string text = arguments.dump();
    const bool as_string = rng() % 2 == 0;
    const std::string written = as_string ? nlohmann::json(text).dump() : text;
    const Message message = ParseAll(
        Pieces("<tool_call>\n{\"name\": \"f\", \"arguments\": " + written + "}\n</tool_call>", rng,
               5),
        WithTools(Thinking::kClosed));
    ASSERT_EQ(message.calls.size(), 1u);
    ASSERT_EQ(message.calls[0].second, text);
    ASSERT_TRUE(message.complete_calls);
  }
}

}  // namespace
}  // namespace sluice::gateway
