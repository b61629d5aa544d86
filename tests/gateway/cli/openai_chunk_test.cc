// SPDX-License-Identifier: Apache-2.0
// Chunks as Sluice, vLLM, SGLang and llama.cpp write them.
#include "gateway/cli/openai_chunk.h"

#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

TEST(OpenAiChunkTest, ReadsAChatDelta) {
  const auto chunk = ReadOpenAiChunk(
      R"({"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":)"
      R"("assistant","content":"caf\u00e9","reasoning_content":null},"logprobs":null,)"
      R"("finish_reason":null}],"usage":null,"error":null})");
  ASSERT_TRUE(chunk.has_value());
  EXPECT_EQ(chunk->content, "caf\u00e9");
  EXPECT_TRUE(chunk->HasText());
  EXPECT_TRUE(chunk->finish_reason.empty());
  EXPECT_FALSE(chunk->usage.has_value());
  EXPECT_FALSE(chunk->error.has_value());
}

TEST(OpenAiChunkTest, ThinkingHasEitherNameAndIsNotDoubled) {
  EXPECT_EQ(ReadOpenAiChunk(R"({"choices":[{"delta":{"reasoning":"a","reasoning_content":"a"}}]})")
                ->reasoning,
            "a");
  EXPECT_EQ(ReadOpenAiChunk(R"({"choices":[{"delta":{"reasoning":"b"}}]})")->reasoning, "b");
}

TEST(OpenAiChunkTest, ReadsCompletionsToolCallsAndEnds) {
  const auto text = ReadOpenAiChunk(R"({"choices":[{"text":"hi","finish_reason":"length"}]})");
  EXPECT_EQ(text->content, "hi");
  EXPECT_EQ(text->finish_reason, "length");
  const auto call = ReadOpenAiChunk(
      R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]})");
  EXPECT_TRUE(call->HasText());
  EXPECT_FALSE(ReadOpenAiChunk(R"({"choices":[{"delta":{"tool_calls":[]}}]})")->HasText());
  EXPECT_FALSE(
      ReadOpenAiChunk(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})")->HasText());
}

TEST(OpenAiChunkTest, ReadsUsageWhereverItsPartsAre) {
  const auto chunk = ReadOpenAiChunk(
      R"({"choices":[],"usage":{"prompt_tokens":12,"total_tokens":19,"completion_tokens":7,)"
      R"("prompt_tokens_details":{"cached_tokens":8},)"
      R"("completion_tokens_details":{"reasoning_tokens":3}},"timings":{"prompt_n":5}})");
  ASSERT_TRUE(chunk->usage.has_value());
  EXPECT_EQ(chunk->usage->prompt_tokens, 12);
  EXPECT_EQ(chunk->usage->completion_tokens, 7);
  EXPECT_EQ(chunk->usage->cached_tokens, 8);
  EXPECT_EQ(chunk->usage->reasoning_tokens, 3);
  const auto bare =
      ReadOpenAiChunk(R"({"usage":{"completion_tokens":7,"prompt_tokens_details":null}})");
  EXPECT_EQ(bare->usage->prompt_tokens, -1);
  EXPECT_EQ(bare->usage->completion_tokens, 7);
}

TEST(OpenAiChunkTest, TextOfOtherPlacesIsNotTheAnswers) {
  const auto chunk = ReadOpenAiChunk(
      R"({"content":"no","delta":{"content":"no"},"choices":[{"logprobs":{"content":[{"token":)"
      R"("no","content":"no"}]},"delta":{"extra":{"content":"no"}}}]})");
  EXPECT_FALSE(chunk->HasText());
}

TEST(OpenAiChunkTest, ReadsErrorsOfEveryShape) {
  EXPECT_EQ(ReadOpenAiChunk(R"({"error":{"message":"died","code":503}})")->error, "died");
  EXPECT_EQ(ReadOpenAiChunk(R"({"error":"died"})")->error, "died");
  EXPECT_EQ(ReadOpenAiChunk(R"({"object":"error","message":"died"})")->error, "died");
  EXPECT_EQ(OpenAiErrorMessage(R"({"error":{"message":"too long"}})"), "too long");
  EXPECT_EQ(OpenAiErrorMessage("<html>"), "<html>");
}

TEST(OpenAiChunkTest, WhatIsNoJsonIsNothing) {
  for (const char* text : {"", "{", "[1,", "{\"a\":}", "\xff", "{\"choices\":[{\"delta\":"}) {
    EXPECT_FALSE(ReadOpenAiChunk(text).has_value()) << text;
  }
  for (const char* text : {"null", "3", "[]", "[[[]]]", "{\"usage\":3}", "{\"choices\":{}}"}) {
    ASSERT_TRUE(ReadOpenAiChunk(text).has_value()) << text;
    EXPECT_FALSE(ReadOpenAiChunk(text)->HasText()) << text;
  }
}

}  // namespace
}  // namespace sluice::gateway
