// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/prompt_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

using ::testing::HasSubstr;

TEST(PromptFileTest, ReadsLines) {
  const auto prompts = ParsePrompts(
      "{\"prompt\": \"one\", \"max_tokens\": 5}\r\n\n"
      "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
      "\"content\": "
      "\"u\"}]}");
  ASSERT_TRUE(prompts.ok()) << prompts.status();
  ASSERT_EQ(prompts->size(), 2u);
  EXPECT_EQ((*prompts)[0].prompt, "one");
  EXPECT_EQ((*prompts)[0].max_tokens, 5);
  EXPECT_EQ((*prompts)[1].max_tokens, 0);
  ASSERT_EQ((*prompts)[1].messages.size(), 2u);
  EXPECT_EQ((*prompts)[1].messages[1].role, "user");
  EXPECT_EQ((*prompts)[1].messages[1].content, "u");
}

TEST(PromptFileTest, ReadsAShareGptExport) {
  const auto prompts = ParsePrompts(
      " [{\"id\": \"a\", \"conversations\": [{\"from\": \"system\", \"value\": \"no\"}, {\"from\": "
      "\"human\", \"value\": \"q\"}, {\"from\": \"gpt\", \"value\": \"a\"}]},"
      " {\"id\": \"b\", \"conversations\": [{\"from\": \"gpt\", \"value\": \"a\"}]}]");
  ASSERT_TRUE(prompts.ok()) << prompts.status();
  ASSERT_EQ(prompts->size(), 1u);  // the second asks nothing
  EXPECT_EQ((*prompts)[0].prompt, "q");
}

TEST(PromptFileTest, NamesTheEntryThatIsWrong) {
  const auto says = [](const char* text) {
    return std::string(ParsePrompts(text).status().message());
  };
  EXPECT_THAT(says("{\"prompt\": \"a\"}\n{\"prompt\": 3}"), HasSubstr("line 2: it has neither"));
  EXPECT_THAT(says("{\"prompt\": \"a\"}\nnonsense"), HasSubstr("line 2: it is no JSON"));
  EXPECT_THAT(says("3"), HasSubstr("line 1: it is no JSON object"));
  EXPECT_THAT(says("[{\"prompt\": \"a\", \"max_tokens\": 0}]"), HasSubstr("entry 1: max_tokens"));
  EXPECT_THAT(says("{\"messages\": []}"), HasSubstr("messages is empty"));
  EXPECT_THAT(says("{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}"),
              HasSubstr("content is no text"));
  EXPECT_THAT(says("{\"messages\": [3]}"), HasSubstr("no role"));
  EXPECT_THAT(says(""), HasSubstr("holds no prompts"));
  EXPECT_THAT(says("["), HasSubstr("no JSON"));
  EXPECT_THAT(std::string(ReadPromptFile("/nowhere").status().message()),
              HasSubstr("--prompts /nowhere cannot be read"));
}

}  // namespace
}  // namespace sluice::gateway
