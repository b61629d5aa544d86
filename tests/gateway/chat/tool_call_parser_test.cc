// SPDX-License-Identifier: Apache-2.0
// What counts as a tool call and what does not, and which arguments come out, on whole outputs;
// streaming is output_parser_test.cc's.
#include "gateway/chat/tool_call_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/gateway/chat/output_pieces.h"

namespace sluice::gateway {
namespace {

using testing::Message;
using testing::ParseText;
using testing::WithTools;

using Calls = std::vector<std::pair<std::string, std::string>>;

Message Parse(std::string_view output, bool truncated = false) {
  return ParseText(output, WithTools(Thinking::kClosed), truncated);
}

TEST(ToolCallParser, ReadsTheNativeForm) {
  const Message message = Parse(
      "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"K\\u00f6ln\", \"n\": "
      "1.0}}\n</tool_call>");
  EXPECT_EQ(message.calls, (Calls{{"get_weather", R"({"city": "K\u00f6ln", "n": 1.0})"}}));
  EXPECT_EQ(message.content, "");
  EXPECT_TRUE(message.complete_calls);
}

TEST(ToolCallParser, ReadsSeveralCallsWithTextAround) {
  const Message message = Parse(
      "Let me see.\n\n<tool_call>\n{\"name\": \"a\", \"arguments\": "
      "{}}\n</tool_call>\n<tool_call>\n"
      "{\"name\": \"b\", \"arguments\": {\"x\": [1, {\"y\": 2}]}}\n</tool_call>\nDone. ");
  EXPECT_EQ(message.calls, (Calls{{"a", "{}"}, {"b", R"({"x": [1, {"y": 2}]})"}}));
  EXPECT_EQ(message.content, "Let me see.\nDone. ");
}

TEST(ToolCallParser, DropsWhiteSpaceThatBelongsToTheLayout) {
  const std::string call = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
  EXPECT_EQ(Parse("\n\n" + call + "\n\n").content, "");
  EXPECT_EQ(Parse("a \n" + call + " \n").content, "a");
  EXPECT_EQ(Parse(call + "\n b").content, "b");
  EXPECT_EQ(Parse("a\n" + call + "\n" + call + "\n\nb\n").content, "a\n\nb\n");
  EXPECT_EQ(Parse("no call\n\n").content, "no call\n\n");
  EXPECT_EQ(Parse("\n\n").content, "\n\n");
}

TEST(ToolCallParser, MissingArgumentsAreAnEmptyObject) {
  for (const char* object :
       {R"({"name":"f"})", R"({"name":"f","arguments":null})", R"({"name":"f","arguments":""})",
        R"({"name":"f","arguments":{}})", R"({"arguments":{},"name":"f"})", R"({"name":"f",})",
        R"({"arguments":null,"name":"f"})", R"({"name":"f")"}) {
    const Message message = Parse(std::string("<tool_call>") + object + "</tool_call>");
    EXPECT_EQ(message.calls, (Calls{{"f", "{}"}})) << object;
    EXPECT_TRUE(message.complete_calls) << object;
  }
}

TEST(ToolCallParser, ArgumentsWrittenAsAStringAreDecoded) {
  const Message message = Parse(
      R"(<tool_call>{"name": "f", "arguments": "{\"a\": \"x\\ny \ud83d\ude00 \u00e9\"}"}</tool_call>)");
  ASSERT_EQ(message.calls.size(), 1u);
  EXPECT_EQ(nlohmann::json::parse(message.calls[0].second)["a"], "x\ny \xF0\x9F\x98\x80 \xC3\xA9");
  EXPECT_EQ(Parse(R"(<tool_call>{"name":"f","arguments":"\ud83d \udc00 \uZZ"}</tool_call>)").calls,
            (Calls{{"f", "\xEF\xBF\xBD \xEF\xBF\xBD \xEF\xBF\xBDZZ"}}));
}

TEST(ToolCallParser, KeysInAnyOrderAndUnknownOnesPassedOver) {
  EXPECT_EQ(
      Parse(
          R"(<tool_call>{"arguments": {"a": 1}, "id": [1, "}"], "x": {"name": "no"}, "t": true, "name": "f"}</tool_call>)")
          .calls,
      (Calls{{"f", R"({"a": 1})"}}));
  EXPECT_EQ(Parse(R"(<tool_call>{"n\u0061me": "\u0066", "arguments": {"a": 1}}</tool_call>)").calls,
            (Calls{{"f", R"({"a": 1})"}}));
}

TEST(ToolCallParser, ScalarsAndListsPassThrough) {
  EXPECT_EQ(Parse(R"(<tool_call>{"name":"f","arguments":[1, "]"]}</tool_call>)").calls,
            (Calls{{"f", R"([1, "]"])"}}));
  EXPECT_EQ(Parse(R"(<tool_call>{"name":"f","arguments": 5 }</tool_call>)").calls,
            (Calls{{"f", "5"}}));
}

TEST(ToolCallParser, RawControlCharactersInStringsAreEscaped) {
  const Message message =
      Parse("<tool_call>{\"name\":\"f\",\"arguments\":{\n\"a\": \"x\ny\t\x01\"\n}}</tool_call>");
  ASSERT_EQ(message.calls.size(), 1u);
  EXPECT_EQ(nlohmann::json::parse(message.calls[0].second)["a"], "x\ny\t\x01");
}

TEST(ToolCallParser, ATagInsideAStringIsText) {
  const Message message = Parse(
      "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"x</tool_call><tool_call></think>\"}}</"
      "tool_call>b");
  EXPECT_EQ(message.calls, (Calls{{"f", R"({"a":"x</tool_call><tool_call></think>"})"}}));
  EXPECT_EQ(message.content, "b");
}

TEST(ToolCallParser, TheClosingTagMayBeMissing) {
  EXPECT_EQ(Parse("<tool_call>\n{\"name\":\"f\",\"arguments\":{\"a\":1}}").calls,
            (Calls{{"f", R"({"a":1})"}}));
  EXPECT_EQ(Parse("<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}").calls,
            (Calls{{"f", R"({"a":1})"}}));
  EXPECT_EQ(
      Parse("<tool_call>{\"name\":\"f\",\"arguments\":{}}\n<tool_call>{\"name\":\"g\"}").calls,
      (Calls{{"f", "{}"}, {"g", "{}"}}));
  const Message text = Parse("<tool_call>{\"name\":\"f\",\"arguments\":{}}\nSo be it.");
  EXPECT_EQ(text.calls.size(), 1u);
  EXPECT_EQ(text.content, "So be it.");
}

TEST(ToolCallParser, TwoObjectsOrABraceTooMany) {
  const Message two = Parse("<tool_call>{\"name\":\"f\"}\n{\"name\":\"g\"}}</tool_call>x");
  EXPECT_EQ(two.calls, (Calls{{"f", "{}"}, {"g", "{}"}}));
  EXPECT_EQ(two.content, "x");
}

TEST(ToolCallParser, QuotedTagsAndBrokenObjectsStayText) {
  for (const char* output :
       {"Use <tool_call> and </tool_call> tags.", "<tool_call>", "<tool_call>\n", "</tool_call>",
        "<tool_call></tool_call>", "<tool_call>\n[1]</tool_call>", "<tool_call>{}</tool_call>",
        "<tool_call>{\"arguments\": {}}</tool_call>", "<tool_call>{\"name\": \"\"}</tool_call>",
        "<tool_call>{\"name\": 5}</tool_call>", "<tool_call>{name: \"f\"}</tool_call>",
        "<tool_call>{\"name\" \"f\"}</tool_call>", "<tool_call>{\"name\": \"f\" oops}</tool_call>",
        "<tool_call>{\"na", "<tool_call>{\"name\": \"f", "<tool_call><tool_call>x",
        "<tool_call>{\"function\": {\"name\": \"f\"}}</tool_call>"}) {
    const Message message = Parse(output);
    EXPECT_EQ(message.content, output);
    EXPECT_TRUE(message.calls.empty()) << output;
    EXPECT_FALSE(message.complete_calls);
  }
}

TEST(ToolCallParser, ACutOffCallIsNotMadeUp) {
  const Message arguments = Parse("<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"b", true);
  EXPECT_EQ(arguments.calls, (Calls{{"f", "{\"a\":\"b"}}));
  EXPECT_FALSE(arguments.complete_calls);
  const Message name = Parse("<tool_call>{\"name\":\"f\"", true);
  EXPECT_EQ(name.calls, (Calls{{"f", ""}}));
  EXPECT_FALSE(name.complete_calls);
}

TEST(ToolCallParser, WithoutToolsTheTagsAreContent) {
  const std::string output = "a\n<tool_call>\n{\"name\":\"f\",\"arguments\":{}}\n</tool_call>\n";
  const Message message = ParseText(output, testing::WithoutTools(Thinking::kClosed));
  EXPECT_EQ(message.content, output);
  EXPECT_TRUE(message.calls.empty());
}

TEST(ToolCallParser, ACallEndsAnUnclosedThinkBlockButAQuotedTagDoesNot) {
  const Message call = ParseText(
      "<think>\nI "
      "call.\n<tool_call>\n{\"name\":\"f\",\"arguments\":{}}\n</tool_call></think>\n\nOk",
      WithTools());
  EXPECT_EQ(call.reasoning, "I call.");
  EXPECT_EQ(call.calls, (Calls{{"f", "{}"}}));
  EXPECT_EQ(call.content, "Ok");
  const Message quoted =
      ParseText("<think>The <tool_call> tag {\"x\"}</tool_call>\n</think>\n\nOk", WithTools());
  EXPECT_EQ(quoted.reasoning, "The <tool_call> tag {\"x\"}</tool_call>");
  EXPECT_EQ(quoted.content, "Ok");
  const Message none = ParseText("<think><tool_call>{\"a\"</think>Ok", WithTools());
  EXPECT_EQ(none.reasoning, "<tool_call>{\"a\"");
  EXPECT_EQ(none.content, "Ok");
}

}  // namespace
}  // namespace sluice::gateway
