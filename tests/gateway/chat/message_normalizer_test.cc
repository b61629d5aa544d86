// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/message_normalizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::gateway {
namespace {

using ::testing::HasSubstr;

std::string Normalize(const std::string& messages) {
  const absl::StatusOr<std::string> normalized = NormalizeMessages(messages);
  EXPECT_TRUE(normalized.ok()) << normalized.status();
  return normalized.ok() ? *normalized : "";
}

std::string ErrorOf(const std::string& messages) {
  const absl::StatusOr<std::string> normalized = NormalizeMessages(messages);
  EXPECT_EQ(normalized.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(normalized.status().message());
}

TEST(MessageNormalizer, LeavesOrdinaryMessagesAlone) {
  const std::string messages =
      R"([{"role": "system", "content": "s"}, {"role": "user", "content": "héllo \n 🤖", "name": "x", "n": 1.0}])";
  EXPECT_EQ(Normalize(messages), messages);
  EXPECT_EQ(Normalize("[]"), "[]");
}

TEST(MessageNormalizer, DeveloperIsSystem) {
  EXPECT_EQ(Normalize(R"([{"role": "developer", "content": "d"}])"),
            R"([{"role": "system", "content": "d"}])");
}

TEST(MessageNormalizer, ContentBecomesText) {
  EXPECT_EQ(Normalize(R"([{"role": "user", "content": null}, {"role": "assistant"}])"),
            R"([{"role": "user", "content": ""}, {"role": "assistant", "content": ""}])");
  EXPECT_EQ(
      Normalize(
          R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])"),
      R"([{"role": "user", "content": "a\nb"}])");
  EXPECT_EQ(
      Normalize(R"([{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}])"),
      R"([{"role": "assistant", "content": "no"}])");
  EXPECT_EQ(Normalize(R"([{"role": "user", "content": []}])"),
            R"([{"role": "user", "content": ""}])");
}

TEST(MessageNormalizer, ErrorsNameTheField) {
  EXPECT_THAT(
      ErrorOf(
          R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}])"),
      HasSubstr("messages[0].content[1]"));
  EXPECT_THAT(ErrorOf(R"([{"role": "user", "content": 5}])"), HasSubstr("messages[0].content"));
  EXPECT_THAT(ErrorOf("[5]"), HasSubstr("messages[0]: expected an object"));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("messages: expected an array"));
  EXPECT_THAT(ErrorOf("[}"), HasSubstr("messages: invalid JSON"));
}

TEST(MessageNormalizer, ReasoningIsCopied) {
  EXPECT_EQ(
      Normalize(R"([{"role": "assistant", "content": "a", "reasoning": "r"}])"),
      R"([{"role": "assistant", "content": "a", "reasoning": "r", "reasoning_content": "r"}])");
  const std::string both =
      R"([{"role": "assistant", "content": "a", "reasoning": "r", "reasoning_content": "c"}])";
  EXPECT_EQ(Normalize(both), both);
  EXPECT_EQ(Normalize(R"([{"role": "assistant", "content": "a", "reasoning": null}])"),
            R"([{"role": "assistant", "content": "a", "reasoning": null}])");
}

std::string WithArguments(const std::string& arguments) {
  return R"([{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": )" +
         arguments + "}}]}]";
}

TEST(MessageNormalizer, ArgumentsAreParsed) {
  EXPECT_EQ(Normalize(WithArguments(R"("{\"a\":1,\"b\":[1.0,1e-5]}")")),
            WithArguments(R"({"a": 1, "b": [1.0, 1e-05]})"));
  EXPECT_EQ(Normalize(WithArguments("\"\"")), WithArguments("{}"));
  EXPECT_EQ(Normalize(WithArguments("null")), WithArguments("{}"));
  EXPECT_EQ(Normalize(WithArguments("\"not json\"")), WithArguments("\"not json\""));
  EXPECT_EQ(Normalize(WithArguments(R"({"k": "v"})")), WithArguments(R"({"k": "v"})"));
  EXPECT_EQ(
      Normalize(
          R"([{"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "{}"}]}])"),
      R"([{"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {}}]}])");
}

std::string Calls(const std::string& ids) {
  std::string calls;
  for (const char id : ids) {
    if (!calls.empty()) calls += ", ";
    calls += std::string(R"({"id": ")") + id + R"(", "function": {"name": "f", "arguments": {}}})";
  }
  return R"({"role": "assistant", "content": "", "tool_calls": [)" + calls + "]}";
}

std::string Answers(const std::string& ids) {
  std::string answers;
  for (const char id : ids) {
    answers += std::string(R"(, {"role": "tool", "content": "", "tool_call_id": ")") + id + "\"}";
  }
  return answers;
}

TEST(MessageNormalizer, AnswersFollowTheOrderOfTheCalls) {
  EXPECT_EQ(Normalize("[" + Calls("abc") + Answers("cab") + "]"),
            "[" + Calls("abc") + Answers("abc") + "]");
  // Each assistant message orders its own answers.
  EXPECT_EQ(Normalize("[" + Calls("ab") + Answers("ba") + ", " + Calls("ab") + Answers("ba") + "]"),
            "[" + Calls("ab") + Answers("ab") + ", " + Calls("ab") + Answers("ab") + "]");
}

TEST(MessageNormalizer, AnswersThatDoNotMatchStay) {
  for (const std::string& messages :
       {"[" + Calls("ab") + Answers("bx") + "]", "[" + Calls("ab") + Answers("bb") + "]",
        "[" + Calls("aa") + Answers("ba") + "]"}) {
    EXPECT_EQ(Normalize(messages), messages);
  }
}

}  // namespace
}  // namespace sluice::gateway
