// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/completion_request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/openai/error.h"
#include "gateway/openai/tokenize_request.h"

namespace sluice::gateway {
namespace {

std::vector<CompletionPrompt> Prompts(const std::string& prompt) {
  const auto request = ParseCompletionRequest("{\"prompt\":" + prompt + "}");
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? request->prompts : std::vector<CompletionPrompt>();
}

std::string RefusedParam(const std::string& fields) {
  const auto request = ParseCompletionRequest("{" + fields + "}");
  EXPECT_FALSE(request.ok()) << fields;
  return ErrorParam(request.status());
}

TEST(CompletionRequest, ReadsAllFourShapesOfPrompt) {
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(Prompts(R"("a\n")"), (std::vector<CompletionPrompt>{std::string("a\n")}));
  EXPECT_EQ(Prompts(R"(["a",""])"),
            (std::vector<CompletionPrompt>{std::string("a"), std::string()}));
  EXPECT_EQ(Prompts("[1,2]"), (std::vector<CompletionPrompt>{Ids{1, 2}}));
  EXPECT_EQ(Prompts("[[1],[2,3]]"), (std::vector<CompletionPrompt>{Ids{1}, Ids{2, 3}}));
}

TEST(CompletionRequest, RefusesOtherPrompts) {
  EXPECT_EQ(RefusedParam(""), "prompt");
  EXPECT_EQ(RefusedParam(R"("prompt":null)"), "prompt");
  EXPECT_EQ(RefusedParam(R"("prompt":[])"), "prompt");
  EXPECT_EQ(RefusedParam(R"("prompt":{})"), "prompt");
  EXPECT_EQ(RefusedParam(R"("prompt":5)"), "prompt");
  EXPECT_EQ(RefusedParam(R"("prompt":["a",1])"), "prompt");
  EXPECT_EQ(RefusedParam(R"("prompt":[1,"a"])"), "prompt[1]");
  EXPECT_EQ(RefusedParam(R"("prompt":[[1],[]])"), "prompt[1]");
  EXPECT_EQ(RefusedParam(R"("prompt":[[-1]])"), "prompt[0][0]");
  EXPECT_EQ(RefusedParam(R"("prompt":[true])"), "prompt[0]");
  std::string many = "\"prompt\":[\"a\"";
  for (int i = 0; i < kMaxPrompts; ++i) many += ",\"a\"";
  EXPECT_EQ(RefusedParam(many + "]"), "prompt");
}

TEST(CompletionRequest, ReadsItsOwnLogprobs) {
  const auto request = ParseCompletionRequest(R"({"prompt":"a","logprobs":0,"best_of":2,"n":2})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->generation.logprobs, 0);
  EXPECT_EQ(RefusedParam(R"("prompt":"a","logprobs":21)"), "logprobs");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","logprobs":true)"), "logprobs");
}

TEST(CompletionRequest, RefusesWhatWouldChangeTheOutput) {
  EXPECT_EQ(RefusedParam(R"("prompt":"a","suffix":"b")"), "suffix");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","best_of":2)"), "best_of");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","max_tokens":0)"), "max_tokens");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","thinking":{})"), "thinking");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","reasoning":{"effort":"low"})"), "reasoning");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","mirostat":1)"), "mirostat");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","guided_json":{})"), "guided_json");
}

TEST(CompletionRequest, MayAskForItsPromptAlone) {
  const auto echo =
      ParseCompletionRequest(R"({"prompt":[[1,2]],"echo":true,"logprobs":1,"max_tokens":0})");
  ASSERT_TRUE(echo.ok()) << echo.status();
  EXPECT_TRUE(echo->generation.echo);
  EXPECT_EQ(echo->generation.max_tokens, 0);
  const auto scores =
      ParseCompletionRequest(R"({"prompt":"a","prompt_logprobs":0,"max_tokens":0})");
  ASSERT_TRUE(scores.ok()) << scores.status();
  EXPECT_EQ(scores->generation.prompt_logprobs, 0);
  EXPECT_FALSE(scores->generation.echo);
  EXPECT_EQ(RefusedParam(R"("prompt":"a","max_tokens":0,"echo":false)"), "max_tokens");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","max_tokens":-1,"echo":true)"), "max_tokens");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","prompt_logprobs":21)"), "prompt_logprobs");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","prompt_logprobs":-1)"), "prompt_logprobs");
  EXPECT_EQ(RefusedParam(R"("prompt":"a","prompt_logprobs":1,"stream":true)"), "prompt_logprobs");
  EXPECT_TRUE(ParseCompletionRequest(R"({"prompt":"a","echo":true,"stream":true})").ok());
}

TEST(CompletionRequest, GeneratesSixteenTokensUnlessTold) {
  const auto untold = ParseCompletionRequest(R"({"prompt":"a","min_tokens":16})");
  ASSERT_TRUE(untold.ok()) << untold.status();
  EXPECT_EQ(untold->generation.max_tokens, 16);
  const auto told = ParseCompletionRequest(R"({"prompt":"a","max_tokens":40,"min_tokens":20})");
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->generation.max_tokens, 40);
  EXPECT_EQ(RefusedParam(R"("prompt":"a","min_tokens":17)"), "min_tokens");
}

TEST(TokenizeRequest, TakesAPromptOrMessages) {
  const auto prompt = ParseTokenizeRequest(R"({"prompt":"a","return_token_strs":true})");
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(std::get<std::string>(prompt->input), "a");
  EXPECT_TRUE(prompt->return_token_strs);
  const auto chat = ParseTokenizeRequest(
      R"({"messages":[{"role":"user","content":"x"}],"add_generation_prompt":false,"enable_thinking":false})");
  ASSERT_TRUE(chat.ok()) << chat.status();
  const auto& conversation = std::get<ConversationOptions>(chat->input);
  EXPECT_FALSE(conversation.add_generation_prompt);
  EXPECT_EQ(conversation.template_kwargs_json, R"({"enable_thinking":false})");
  EXPECT_EQ(ErrorParam(ParseTokenizeRequest("{}").status()), "prompt");
  EXPECT_EQ(ErrorParam(ParseTokenizeRequest(R"({"prompt":"a","messages":[1]})").status()),
            "prompt");
  EXPECT_EQ(ErrorParam(ParseTokenizeRequest(R"({"messages":[1]})").status()), "messages[0]");
  EXPECT_EQ(ErrorParam(ParseTokenizeRequest(R"({"prompt":["a"]})").status()), "prompt");
}

TEST(TokenizeRequest, AnswersInVllmsShape) {
  EXPECT_EQ(
      TokenizeResponseBody({.tokens = {1, 2}, .token_strs = std::nullopt, .max_model_len = 40960}),
      R"({"count":2,"max_model_len":40960,"tokens":[1,2],"token_strs":null})");
  EXPECT_EQ(
      TokenizeResponseBody({.tokens = {1}, .token_strs = {{"\xC4\xA0hi"}}, .max_model_len = 8}),
      "{\"count\":1,\"max_model_len\":8,\"tokens\":[1],\"token_strs\":[\"\xC4\xA0hi\"]}");
}

TEST(DetokenizeRequest, TakesIds) {
  const auto request = ParseDetokenizeRequest(R"({"tokens":[5,6]})");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->tokens, (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(ErrorParam(ParseDetokenizeRequest("{}").status()), "tokens");
  EXPECT_EQ(ErrorParam(ParseDetokenizeRequest(R"({"tokens":[1.5]})").status()), "tokens[0]");
  EXPECT_EQ(DetokenizeResponseBody("a\"b"), R"({"prompt":"a\"b"})");
}

}  // namespace
}  // namespace sluice::gateway
