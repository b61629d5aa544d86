// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/chat_request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/openai/error.h"

namespace sluice::gateway {
namespace {

// A body with one user message and these further fields.
std::string Body(const std::string& fields) {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" +
         (fields.empty() ? "" : "," + fields) + "}";
}

std::string WithMessages(const std::string& messages) { return "{\"messages\":" + messages + "}"; }

struct Refusal {
  std::string body;
  std::string param;
};

TEST(ChatRequest, ReadsEveryField) {
  const auto request = ParseChatRequest(Body(
      R"("temperature":0.5,"top_p":0.9,"top_k":-1,"min_p":0.1,"presence_penalty":1,
         "frequency_penalty":-1,"repetition_penalty":1.1,"logit_bias":{"5":-100,"7":1.5},"seed":-1,
         "n":3,"max_tokens":5,"max_completion_tokens":9,"min_tokens":2,"ignore_eos":true,
         "stop":["a","b"],"stop_token_ids":[4],"include_stop_str_in_output":true,
         "skip_special_tokens":false,"logprobs":true,"top_logprobs":4,"priority":3,"cache_salt":"s",
         "stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},
         "allowed_token_ids":[1,2],"user":"u","metadata":{"a":"b"},"shape":1,"colour":"red",
         "response_format":{"type":"text"},"parallel_tool_calls":false,"include_reasoning":false)"));
  ASSERT_TRUE(request.ok()) << request.status();
  const GenerationOptions& g = request->generation;
  EXPECT_EQ(request->model, "m");
  EXPECT_EQ(g.temperature, 0.5f);
  EXPECT_EQ(g.top_p, 0.9f);
  EXPECT_EQ(g.top_k, -1);
  EXPECT_EQ(g.min_p, 0.1f);
  EXPECT_EQ(g.presence_penalty, 1.0f);
  EXPECT_EQ(g.frequency_penalty, -1.0f);
  EXPECT_EQ(g.repetition_penalty, 1.1f);
  EXPECT_EQ(g.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.0f}, {7, 1.5f}}));
  EXPECT_EQ(g.seed, UINT64_MAX);
  EXPECT_EQ(g.n, 3);
  EXPECT_EQ(g.max_tokens, 9);
  EXPECT_EQ(g.min_tokens, 2);
  EXPECT_TRUE(g.ignore_eos);
  EXPECT_EQ(g.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(g.stop_token_ids, std::vector<int32_t>{4});
  EXPECT_EQ(g.allowed_token_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_TRUE(g.include_stop_str_in_output);
  EXPECT_FALSE(g.skip_special_tokens);
  EXPECT_EQ(g.logprobs, 4);
  EXPECT_EQ(g.priority, -3) << "vLLM's smaller value runs first";
  EXPECT_EQ(g.cache_salt, "s");
  EXPECT_TRUE(request->stream.stream);
  EXPECT_TRUE(request->stream.include_usage);
  EXPECT_TRUE(request->stream.continuous_usage);
  EXPECT_FALSE(request->parallel_tool_calls);
  EXPECT_FALSE(request->separate_reasoning);
  EXPECT_EQ(request->unknown_fields, (std::vector<std::string>{"shape", "colour"}));
}

TEST(ChatRequest, NullMeansAbsent) {
  const auto request = ParseChatRequest(Body(
      R"("temperature":null,"top_k":null,"seed":null,"n":null,"stop":null,"tools":null,"tool_choice":null,
         "logit_bias":null,"logprobs":null,"top_logprobs":null,"stream":null,"stream_options":null,
         "response_format":null,"max_tokens":null,"chat_template_kwargs":null,"prompt_logprobs":null,
         "echo":null,"functions":null)"));
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->generation.n, 1);
  EXPECT_FALSE(request->generation.temperature.has_value());
  EXPECT_FALSE(request->generation.logprobs.has_value());
  EXPECT_TRUE(request->separate_reasoning);
  EXPECT_TRUE(request->conversation.add_generation_prompt);
  EXPECT_TRUE(request->unknown_fields.empty());
}

TEST(ChatRequest, MessagesAndToolsReachTheTemplateByteForByte) {
  const std::string tools =
      R"([ {"type":"function","function":{"name":"f","parameters":{"z":1.0,"a":1e-05, "m":10000000000000000000000}}} ])";
  const std::string messages = R"([{"content" : "\u00e9" ,"role":"user"}])";
  const auto request = ParseChatRequest("{\"tools\":" + tools + ",\"messages\":" + messages + "}");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->conversation.tools_json, tools);
  EXPECT_EQ(request->conversation.messages_json, messages);
  EXPECT_TRUE(request->parse_tool_calls);
}

TEST(ChatRequest, ToolChoiceNoneHidesTheTools) {
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  const auto none = ParseChatRequest(Body(tools + R"(,"tool_choice":"none")"));
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->conversation.tools_json, "");
  EXPECT_FALSE(none->parse_tool_calls);
  const auto automatic = ParseChatRequest(Body(tools + R"(,"tool_choice":"auto")"));
  ASSERT_TRUE(automatic.ok());
  EXPECT_TRUE(automatic->parse_tool_calls);
  const auto empty = ParseChatRequest(Body(R"("tools":[])"));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->conversation.tools_json, "");
  EXPECT_FALSE(empty->parse_tool_calls);
}

TEST(ChatRequest, EnableThinkingFromEveryPlace) {
  const auto kwargs = [](const std::string& fields) {
    const auto request = ParseChatRequest(Body(fields));
    return request.ok() ? request->conversation.template_kwargs_json
                        : std::string(request.status().message());
  };
  EXPECT_EQ(kwargs(""), "");
  EXPECT_EQ(kwargs(R"("enable_thinking":false)"), R"({"enable_thinking":false})");
  EXPECT_EQ(
      kwargs(R"("chat_template_kwargs":{"a":1.0,"enable_thinking":true},"enable_thinking":false)"),
      R"({"a":1.0,"enable_thinking":true})");
  EXPECT_EQ(kwargs(R"("chat_template_kwargs":{"a":1.0},"enable_thinking":true)"),
            R"({"a":1.0,"enable_thinking":true})");
  EXPECT_EQ(kwargs(R"("reasoning_effort":"none")"), R"({"enable_thinking":false})");
  EXPECT_EQ(kwargs(R"("reasoning_effort":"high")"), "");
  EXPECT_EQ(kwargs(R"("chat_template_kwargs":{})"), "");
}

TEST(ChatRequest, RefusesWhatItCannotDoAndNamesIt) {
  const std::vector<Refusal> refusals = {
      {"", ""},
      {"[]", ""},
      {"{\"messages\":[}", ""},
      {"{}", "messages"},
      {WithMessages("[]"), "messages"},
      {WithMessages("{}"), "messages"},
      {WithMessages("[1]"), "messages[0]"},
      {WithMessages(R"([{"content":"x"}])"), "messages[0].role"},
      {WithMessages(R"([{"role":"user","content":"x"},{"role":"robot","content":"x"}])"),
       "messages[1].role"},
      {WithMessages(R"([{"role":1,"content":"x"}])"), "messages[0].role"},
      {WithMessages(R"([{"role":"user"}])"), "messages[0].content"},
      {WithMessages(R"([{"role":"user","content":5}])"), "messages[0].content"},
      {WithMessages(
           R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]}])"),
       "messages[0].content[1]"},
      {WithMessages(R"([{"role":"user","content":[{"type":"text"}]}])"),
       "messages[0].content[0].text"},
      {WithMessages(R"([{"role":"user","content":[5]}])"), "messages[0].content[0]"},
      {WithMessages(R"([{"role":"user","content":"x","tool_calls":[{}]}])"),
       "messages[0].tool_calls"},
      {WithMessages(R"([{"role":"assistant","tool_calls":[{}]}])"),
       "messages[0].tool_calls[0].function"},
      {WithMessages(R"([{"role":"assistant","tool_calls":[{"function":{}}]}])"),
       "messages[0].tool_calls[0].function.name"},
      {WithMessages(
           R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[]}}]}])"),
       "messages[0].tool_calls[0].function.arguments"},
      {WithMessages(R"([{"role":"assistant","content":"x","reasoning":5}])"),
       "messages[0].reasoning"},
      {WithMessages(R"([{"role":"assistant","content":"x","function_call":{"name":"f"}}])"),
       "messages[0].function_call"},
      {Body(R"("tools":[{"type":"function"}])"), "tools[0].function"},
      {Body(R"("tools":[{"type":"web"}])"), "tools[0].type"},
      {Body(R"("tools":[{"type":"function","function":{"name":""}}])"), "tools[0].function.name"},
      {Body(R"("tools":[{"type":"function","function":{"name":"f","parameters":"x"}}])"),
       "tools[0].function.parameters"},
      {Body(R"("tool_choice":"required")"), "tool_choice"},
      {Body(R"("tool_choice":{"type":"function","function":{"name":"f"}})"), "tool_choice"},
      {Body(R"("tool_choice":5)"), "tool_choice"},
      {Body(R"("temperature":-0.1)"), "temperature"},
      {Body(R"("temperature":1e300)"), "temperature"},
      {Body(R"("temperature":1e999)"), "temperature"},
      {Body(R"("temperature":"hot")"), "temperature"},
      {Body(R"("top_p":0)"), "top_p"},
      {Body(R"("top_p":1.1)"), "top_p"},
      {Body(R"("top_k":-2)"), "top_k"},
      {Body(R"("top_k":1.5)"), "top_k"},
      {Body(R"("top_k":99999999999)"), "top_k"},
      {Body(R"("min_p":2)"), "min_p"},
      {Body(R"("presence_penalty":3)"), "presence_penalty"},
      {Body(R"("frequency_penalty":-3)"), "frequency_penalty"},
      {Body(R"("repetition_penalty":0)"), "repetition_penalty"},
      {Body(R"("logit_bias":{"x":1})"), "logit_bias[x]"},
      {Body(R"("logit_bias":{"-1":1})"), "logit_bias[-1]"},
      {Body(R"("logit_bias":{"01":1})"), "logit_bias[01]"},
      {Body(R"("logit_bias":{"1":101})"), "logit_bias[1]"},
      {Body(R"("logit_bias":[1])"), "logit_bias"},
      {Body(R"("seed":1.5)"), "seed"},
      {Body(R"("seed":18446744073709551616)"), "seed"},
      {Body(R"("n":0)"), "n"},
      {Body(R"("n":129)"), "n"},
      {Body(R"("max_tokens":0)"), "max_tokens"},
      {Body(R"("max_tokens":1e400)"), "max_tokens"},
      {Body(R"("max_completion_tokens":-1)"), "max_completion_tokens"},
      {Body(R"("max_tokens":5,"min_tokens":6)"), "min_tokens"},
      {Body(R"("stop":"")"), "stop[0]"},
      {Body(R"("stop":[1])"), "stop[0]"},
      {Body(R"("stop":{})"), "stop"},
      {Body(
           R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])"),
       "stop"},
      {Body("\"stop\":\"" + std::string(1025, 'x') + "\""), "stop[0]"},
      {Body(R"("stop_token_ids":[-1])"), "stop_token_ids[0]"},
      {Body(R"("stop_token_ids":["a"])"), "stop_token_ids[0]"},
      {Body(R"("logprobs":5)"), "logprobs"},
      {Body(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs"},
      {Body(R"("top_logprobs":1)"), "top_logprobs"},
      {Body(R"("stream":"yes")"), "stream"},
      {Body(R"("stream_options":{"include_usage":true})"), "stream_options"},
      {Body(R"("stream":true,"stream_options":{"include_usage":1})"),
       "stream_options.include_usage"},
      {Body(R"("cache_salt":"")"), "cache_salt"},
      {Body(R"("enable_thinking":"false")"), "enable_thinking"},
      {Body(R"("chat_template_kwargs":[])"), "chat_template_kwargs"},
      {Body(R"("chat_template_kwargs":{"messages":[]})"), "chat_template_kwargs.messages"},
      {Body(R"("reasoning_effort":"some")"), "reasoning_effort"},
      {Body(R"("response_format":{"type":"json_object"})"), "response_format"},
      {Body(R"("response_format":{})"), "response_format"},
      {Body(R"("prompt_logprobs":0,"stream":true)"), "prompt_logprobs"},
      {Body(R"("prompt_logprobs":true)"), "prompt_logprobs"},
      {Body(R"("echo":true)"), "echo"},
      {Body(R"("guided_json":{"type":"object"})"), "guided_json"},
      {Body(R"("guided_json":{})"), "guided_json"},
      {Body(R"("allowed_token_ids":[])"), "allowed_token_ids"},
      {Body(R"("best_of":3)"), "best_of"},
      {Body(R"("best_of":1,"n":2)"), "best_of"},
      {Body(R"("suffix":"x")"), "suffix"},
      {Body(R"("thinking":{"type":"disabled"})"), "thinking"},
      {Body(R"("thinking":false)"), "thinking"},
      {Body(R"("reasoning":{"effort":"low"})"), "reasoning"},
      {Body(R"("typical_p":0.9)"), "typical_p"},
      {Body(R"("xtc_probability":0.5)"), "xtc_probability"},
      {Body(R"("mirostat":2)"), "mirostat"},
      {Body(R"("mirostat_mode":1)"), "mirostat_mode"},
      {Body(R"("dry_multiplier":0.8)"), "dry_multiplier"},
      {Body(R"("functions":[{"name":"f"}])"), "functions"},
      {Body(R"("modalities":["audio"])"), "modalities"},
      {Body(R"("thinking_budget":10)"), "thinking_budget"},
      {Body(R"("bad_words":["x"])"), "bad_words"},
      {Body(R"("continue_final_message":true,"add_generation_prompt":true)"),
       "continue_final_message"},
      {Body(R"("continue_final_message":true)"), "continue_final_message"},
      {Body(R"("model":5)"), ""},
  };
  for (const Refusal& refusal : refusals) {
    const auto request = ParseChatRequest(refusal.body);
    ASSERT_FALSE(request.ok()) << refusal.body;
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << refusal.body;
    EXPECT_EQ(ErrorParam(request.status()), refusal.param) << refusal.body << "\n"
                                                           << request.status();
    const std::string message(request.status().message());
    EXPECT_NE(message.find(refusal.param), std::string::npos) << message;
    EXPECT_LT(message.size(), 300u) << message;
  }
}

TEST(ChatRequest, AcceptsWhatAsksForNothing) {
  for (const char* fields :
       {R"("typical_p":1,"xtc_probability":0,"mirostat":0,"mirostat_mode":0,"dry_multiplier":0.0)",
        R"("best_of":1,"thinking":null,"reasoning":null)", R"("best_of":2,"n":2)",
        R"("echo":false,"bad_words":[],"suffix":"","guided_json":null,"use_beam_search":false)",
        R"("tool_choice":"none")", R"("tool_choice":"auto")", R"("best_of":1)",
        R"("modalities":["text"])", R"("logprobs":false,"top_logprobs":0)", R"("seed":0)",
        R"("temperature":0,"n":2)", R"("stop":[])", R"("store":true,"service_tier":"auto")"}) {
    const auto request = ParseChatRequest(Body(fields));
    EXPECT_TRUE(request.ok()) << fields << "\n" << request.status();
  }
}

TEST(ChatRequest, AcceptsEveryShapeOfMessages) {
  for (
      const char* messages :
      {R"([{"role":"developer","content":"x"},{"role":"system","content":null}])",
       R"([{"role":"user","content":[{"type":"text","text":"a"},"b",{"type":"refusal","refusal":"c"}]}])",
       R"([{"role":"assistant"},{"role":"tool","tool_call_id":"1","content":""}])",
       R"([{"role":"assistant","content":null,"reasoning_content":"r","reasoning":"r",
            "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{bad"}},
                          {"function":{"name":"f","arguments":{"a":1}}}]}])"}) {
    const auto request = ParseChatRequest(WithMessages(messages));
    EXPECT_TRUE(request.ok()) << messages << "\n" << request.status();
  }
}

TEST(ChatRequest, ContinueFinalMessageOpensNoNewTurn) {
  const auto request = ParseChatRequest(
      R"({"messages":[{"role":"assistant","content":"x"}],"continue_final_message":true})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->conversation.continue_final_message);
  EXPECT_FALSE(request->conversation.add_generation_prompt);
}

TEST(ChatRequest, StructsMeetTheSameChecks) {
  const auto json = MessagesToJson(
      std::vector<ChatMessage>{{.role = "user",
                                .content = "a\"b",
                                .reasoning_content = "",
                                .tool_calls = {},
                                .tool_call_id = ""},
                               {.role = "assistant",
                                .content = "",
                                .reasoning_content = "r",
                                .tool_calls = {{.id = "1", .name = "f", .arguments = "{}"}},
                                .tool_call_id = ""}});
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(
      *json,
      R"([{"role":"user","content":"a\"b"},{"role":"assistant","content":"","reasoning_content":"r",)"
      R"("tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}])");
  const auto role = MessagesToJson(std::vector<ChatMessage>{{.role = "robot",
                                                             .content = "",
                                                             .reasoning_content = "",
                                                             .tool_calls = {},
                                                             .tool_call_id = ""}});
  EXPECT_EQ(ErrorParam(role.status()), "messages[0].role");
  EXPECT_EQ(ErrorParam(MessagesToJson({}).status()), "messages");

  const auto tools = ToolsToJson(std::vector<ChatTool>{
      {.name = "f", .description = "d", .parameters_json = " {\"b\":1.0,\"a\":2} "}});
  ASSERT_TRUE(tools.ok());
  EXPECT_EQ(
      *tools,
      R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"b":1.0,"a":2}}}])");
  const auto injected = ToolsToJson(std::vector<ChatTool>{
      {.name = "f", .description = "", .parameters_json = R"({}, "strict": true)"}});
  EXPECT_EQ(ErrorParam(injected.status()), "tools[0].parameters_json");
}

}  // namespace
}  // namespace sluice::gateway
