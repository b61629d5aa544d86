// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gateway/openai/chat_response.h"
#include "gateway/openai/completion_response.h"
#include "gateway/openai/model_list.h"

namespace sluice::gateway {
namespace {

using Json = nlohmann::json;

const ResponseHeader kHeader = {.id = "chatcmpl-1", .model = "m", .created_unix_seconds = 7};

ChoiceDelta Content(int choice, std::string text) {
  ChoiceDelta delta;
  delta.choice = choice;
  delta.content = std::move(text);
  return delta;
}

LogprobEntry Entry(int32_t id, std::string token, std::string output, float logprob) {
  LogprobEntry entry;
  entry.id = id;
  entry.token = std::move(token);
  entry.output_bytes = std::move(output);
  entry.logprob = logprob;
  return entry;
}

TEST(ChatStreamWriter, TellsTheRoleOncePerChoice) {
  ChatStreamWriter writer(
      kHeader, {.stream = true, .include_usage = false, .continuous_usage = false}, false, 3);
  const auto first = writer.OnDelta(Content(1, "a"));
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(
      first[0],
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[)"
      R"({"index":1,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]})");
  EXPECT_EQ(Json::parse(first[1])["choices"][0]["delta"], Json::parse(R"({"content":"a"})"));
  EXPECT_EQ(writer.OnDelta(Content(1, "b")).size(), 1u);
  EXPECT_EQ(writer.OnDelta(Content(0, "b")).size(), 2u);
  EXPECT_EQ(writer.OnDelta(Content(0, "")).size(), 0u);
  EXPECT_FALSE(writer.OnEnd({}).has_value());
}

TEST(ChatStreamWriter, StreamsReasoningCallsAndTheEnd) {
  ChatStreamWriter writer(
      kHeader, {.stream = true, .include_usage = true, .continuous_usage = false}, false, 3);
  ChoiceDelta delta;
  delta.reasoning = "think";
  auto chunk = Json::parse(writer.OnDelta(delta).back());
  EXPECT_EQ(chunk["choices"][0]["delta"],
            Json::parse(R"({"reasoning_content":"think","reasoning":"think"})"));
  EXPECT_TRUE(chunk["usage"].is_null());

  ChoiceDelta call;
  call.tool_calls.push_back({.index = 0, .id = "call_1", .name = "f", .arguments = ""});
  chunk = Json::parse(writer.OnDelta(call).back());
  EXPECT_EQ(
      chunk["choices"][0]["delta"]["tool_calls"],
      Json::parse(
          R"([{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}])"));
  ChoiceDelta fragment;
  fragment.tool_calls.push_back({.index = 0, .id = "", .name = "", .arguments = "{\"a\""});
  fragment.end = ChoiceEnd::kLength;
  chunk = Json::parse(writer.OnDelta(fragment).back());
  EXPECT_EQ(chunk["choices"][0]["delta"]["tool_calls"],
            Json::parse(R"([{"index":0,"function":{"arguments":"{\"a\""}}])"));
  EXPECT_EQ(chunk["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(chunk["choices"][0]["stop_reason"].is_null());

  const auto usage = writer.OnEnd(
      {.prompt_tokens = 3, .completion_tokens = 5, .cached_tokens = 2, .reasoning_tokens = 1});
  ASSERT_TRUE(usage.has_value());
  chunk = Json::parse(*usage);
  EXPECT_EQ(chunk["choices"], Json::array());
  EXPECT_EQ(chunk["usage"],
            Json::parse(R"({"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,
                            "prompt_tokens_details":{"cached_tokens":2},
                            "completion_tokens_details":{"reasoning_tokens":1}})"));
}

TEST(ChatStreamWriter, ContinuousUsageCountsTheChoiceSoFar) {
  ChatStreamWriter writer(
      kHeader, {.stream = true, .include_usage = true, .continuous_usage = true}, false, 3);
  ChoiceDelta delta = Content(0, "a");
  delta.completion_tokens = 4;
  const auto chunk = Json::parse(writer.OnDelta(delta).back());
  EXPECT_EQ(chunk["usage"]["total_tokens"], 7);
}

TEST(ChatAggregator, JoinsDeltasToTheMessage) {
  ChatAggregator aggregator(kHeader, false);
  ChoiceDelta delta;
  delta.reasoning = "r1";
  aggregator.OnDelta(delta);
  delta.reasoning = "r2";
  aggregator.OnDelta(delta);
  aggregator.OnDelta(Content(1, "one "));
  aggregator.OnDelta(Content(1, "two"));
  ChoiceDelta call;
  call.tool_calls = {{.index = 0, .id = "c0", .name = "f", .arguments = "{"}};
  aggregator.OnDelta(call);
  call.tool_calls = {{.index = 0, .id = "", .name = "", .arguments = "}"},
                     {.index = 1, .id = "c1", .name = "g", .arguments = "{}"}};
  call.end = ChoiceEnd::kToolCalls;
  aggregator.OnDelta(call);
  ChoiceDelta end;
  end.choice = 1;
  end.end = ChoiceEnd::kStop;
  end.stop_reason = std::string("END");
  aggregator.OnDelta(end);
  const Json body = Json::parse(aggregator.Finish({}));
  EXPECT_EQ(body["object"], "chat.completion");
  ASSERT_EQ(body["choices"].size(), 2u);
  EXPECT_EQ(body["choices"][0]["message"],
            Json::parse(
                R"({"role":"assistant","content":null,"reasoning_content":"r1r2","reasoning":"r1r2",
              "refusal":null,"tool_calls":[
              {"id":"c0","type":"function","function":{"name":"f","arguments":"{}"}},
              {"id":"c1","type":"function","function":{"name":"g","arguments":"{}"}}]})"));
  EXPECT_EQ(body["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(body["choices"][1]["message"]["content"], "one two");
  EXPECT_TRUE(body["choices"][1]["message"]["reasoning_content"].is_null());
  EXPECT_EQ(body["choices"][1]["stop_reason"], "END");
}

TEST(ChatAggregator, AnEmptyAnswerIsAnEmptyString) {
  ChatAggregator aggregator(kHeader, false);
  ChoiceDelta end;
  end.end = ChoiceEnd::kStop;
  end.stop_reason = int32_t{42};
  aggregator.OnDelta(end);
  const Json body = Json::parse(aggregator.Finish({}));
  EXPECT_EQ(body["choices"][0]["message"]["content"], "");
  EXPECT_EQ(body["choices"][0]["stop_reason"], 42);
}

TEST(ChatLogprobs, BytesAreTheOutputAndPartsOfCharactersAreSpelledOut) {
  ChatAggregator aggregator(kHeader, true);
  ChoiceDelta delta = Content(0, "\xE4\xBD\xA0");
  delta.logprobs = {Entry(1, "\xE4\xBD", "\xE4\xBD", -0.5f), Entry(2, "\xA0", "\xA0", -1.0f),
                    Entry(3, "<|im_end|>", "", -2.0f)};
  delta.logprobs[0].top = {{.id = 9, .token = "x", .logprob = -0.25f}};
  delta.end = ChoiceEnd::kStop;
  aggregator.OnDelta(delta);
  const Json content = Json::parse(aggregator.Finish({}))["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(content[0], Json::parse(R"({"token":"\\xe4\\xbd","logprob":-0.5,"bytes":[228,189],
                            "top_logprobs":[{"token":"x","logprob":-0.25,"bytes":[120]}]})"));
  EXPECT_EQ(content[1]["bytes"], Json::parse("[160]"));
  EXPECT_EQ(content[2]["token"], "<|im_end|>");
  EXPECT_EQ(content[2]["bytes"], Json::array());
}

TEST(CompletionLogprobs, HaveTheLegacyShapeWithOffsetsInCharacters) {
  CompletionStreamWriter writer(
      kHeader, {.stream = true, .include_usage = false, .continuous_usage = false}, true, 3);
  ChoiceDelta delta = Content(0,
                              "\xE4\xBD\xA0"
                              "b");
  delta.logprobs = {Entry(1, "\xE4\xBD", "\xE4\xBD", -0.5f), Entry(2,
                                                                   "\xA0"
                                                                   "b",
                                                                   "\xA0"
                                                                   "b",
                                                                   -1.0f)};
  delta.logprobs[1].top = {{.id = 2,
                            .token = "\xA0"
                                     "b",
                            .logprob = -1.0f},
                           {.id = 9, .token = "x", .logprob = -3.0f}};
  EXPECT_EQ(Json::parse(*writer.OnDelta(delta))["choices"][0],
            Json::parse(R"({"index":0,"text":"你b","finish_reason":null,"logprobs":{
              "text_offset":[0,1],"token_logprobs":[-0.5,-1.0],"tokens":["bytes:\\xe4\\xbd","bytes:\\xa0\\x62"],
              "top_logprobs":[{"bytes:\\xe4\\xbd":-0.5},{"bytes:\\xa0\\x62":-1.0,"x":-3.0}]}})"));
  ChoiceDelta next = Content(0, "c");
  next.logprobs = {Entry(3, "c", "c", -0.125f)};
  EXPECT_EQ(Json::parse(*writer.OnDelta(next))["choices"][0]["logprobs"]["text_offset"],
            Json::parse("[2]"));
  EXPECT_FALSE(writer.OnDelta(Content(0, "")).has_value());
}

TEST(CompletionLogprobs, AnEchoBeginsWithNullAndMovesTheOffsetsOfTheOutput) {
  CompletionAggregator aggregator(kHeader, true);
  ChoiceDelta prompt = Content(0, "\xE4\xBD\xA0 a");
  prompt.logprobs = {Entry(1, "\xE4\xBD\xA0", "\xE4\xBD\xA0", 0.0f), Entry(2, " a", " a", -1.5f)};
  prompt.logprobs[0].logprob.reset();
  prompt.logprobs[1].top = {{.id = 9, .token = "x", .logprob = -0.5f}};
  aggregator.OnDelta(prompt);
  ChoiceDelta end = Content(0, "b");
  end.logprobs = {Entry(3, "b", "b", -0.25f)};
  end.end = ChoiceEnd::kLength;
  aggregator.OnDelta(end);
  const Json choice = Json::parse(aggregator.Finish({}))["choices"][0];
  EXPECT_EQ(choice["text"], "\xE4\xBD\xA0 ab");
  EXPECT_EQ(choice["logprobs"],
            Json::parse(R"({"text_offset":[0,1,3],"token_logprobs":[null,-1.5,-0.25],
      "tokens":["你"," a","b"],"top_logprobs":[null,{"x":-0.5," a":-1.5},{"b":-0.25}]})"));
  EXPECT_FALSE(choice.contains("prompt_logprobs"));
}

TEST(PromptLogprobs, HaveVllmsShapeInBothApis) {
  ChoiceDelta delta = Content(0, "b");
  delta.prompt_logprobs = {Entry(1, "a", "", 0.0f), Entry(2, "\xA0", "", -1.5f),
                           Entry(3, "c", "", -2.0f)};
  delta.prompt_logprobs[0].logprob.reset();
  delta.prompt_logprobs[1].top = {{.id = 9, .token = "x", .logprob = -0.5f}};
  delta.prompt_logprobs[2].top = {{.id = 3, .token = "c", .logprob = -2.0f}};
  delta.end = ChoiceEnd::kLength;
  const Json expected = Json::parse(R"([null,
      {"9":{"logprob":-0.5,"rank":1,"decoded_token":"x"},
       "2":{"logprob":-1.5,"rank":null,"decoded_token":"\\xa0"}},
      {"3":{"logprob":-2.0,"rank":1,"decoded_token":"c"}}])");
  CompletionAggregator completion(kHeader, false);
  completion.OnDelta(delta);
  EXPECT_EQ(Json::parse(completion.Finish({}))["choices"][0]["prompt_logprobs"], expected);
  ChatAggregator chat(kHeader, false);
  chat.OnDelta(delta);
  const Json body = Json::parse(chat.Finish({}));
  EXPECT_EQ(body["prompt_logprobs"], expected);
  EXPECT_FALSE(body["choices"][0].contains("prompt_logprobs"));
}

TEST(CompletionAggregator, JoinsTexts) {
  CompletionAggregator aggregator(kHeader, false);
  aggregator.OnDelta(Content(0, "a"));
  ChoiceDelta end = Content(0, "b");
  end.end = ChoiceEnd::kLength;
  aggregator.OnDelta(end);
  const Json body = Json::parse(aggregator.Finish(
      {.prompt_tokens = 1, .completion_tokens = 2, .cached_tokens = 0, .reasoning_tokens = 0}));
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(
      body["choices"],
      Json::parse(
          R"([{"index":0,"text":"ab","logprobs":null,"finish_reason":"length","stop_reason":null}])"));
  EXPECT_EQ(body["usage"]["total_tokens"], 3);
}

TEST(ModelList, TellsTheContextAndTheRopeScaling) {
  const ModelCard card = {.id = "m",
                          .root = "",
                          .created_unix_seconds = 7,
                          .max_model_len = 131072,
                          .rope_scaling_json = R"({"rope_type":"yarn","factor":4.0})"};
  EXPECT_EQ(
      ModelBody(card),
      R"({"id":"m","object":"model","created":7,"owned_by":"sluice","root":"m","parent":null,)"
      R"("max_model_len":131072,"rope_scaling":{"rope_type":"yarn","factor":4.0}})");
  EXPECT_EQ(Json::parse(ModelListBody(std::vector<ModelCard>{card}))["data"].size(), 1u);
}

}  // namespace
}  // namespace sluice::gateway
