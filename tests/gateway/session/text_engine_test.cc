// SPDX-License-Identifier: Apache-2.0
// From a request's JSON to the worker's request and back, with the real tokenizer and a small chat
// template in the manner of Qwen3's.
#include "gateway/session/text_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gateway/openai/error.h"
#include "tests/gateway/session/collecting_sink.h"
#include "tests/gateway/session/real_tokenizer.h"
#include "tests/support/scripted_worker_client.h"

namespace sluice::gateway {
namespace {

using sluice::testing::ScriptedCall;
using testing::CollectingSink;
using testing::RealTokenizer;

constexpr char kTemplate[] = R"({%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- for tool in tools %}{{- tool | tojson }}{%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %})";

class TextEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_TOKENIZER();
    auto compiled = ChatTemplate::Compile(kTemplate);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    template_ = *std::move(compiled);
    ModelInfo info;
    info.max_model_len = 1000;
    info.vocab_size = RealTokenizer()->vocab_size();
    info.sampling_defaults.temperature = 0.6f;
    worker_.info = info;
    options_.tokenizer = RealTokenizer();
    options_.chat_template = template_.get();
    options_.worker = &worker_;
    options_.served_model_names = {"qwen3", "alias"};
  }

  absl::Status Chat(const std::string& body, const RequestContext& context = {}) {
    const auto request = ParseChatRequest(body);
    if (!request.ok()) return request.status();
    const auto session = TextEngine(options_).StartChat(*request, context, sink_);
    if (session.ok()) session_ = *session;
    return session.status();
  }

  absl::Status Complete(const std::string& body, const RequestContext& context = {}) {
    const auto request = ParseCompletionRequest(body);
    if (!request.ok()) return request.status();
    const auto session = TextEngine(options_).StartCompletion(*request, context, sink_);
    if (session.ok()) session_ = *session;
    return session.status();
  }

  // The whole output of the first call's first choice.
  void Answer(const std::string& output) {
    call().Ids(*RealTokenizer()->Encode(output), 0, FinishReason::kLength);
    call().Done();
  }

  ScriptedCall& call(size_t i = 0) { return *worker_.calls().at(i); }

  std::unique_ptr<const ChatTemplate> template_;
  sluice::testing::ScriptedWorkerClient worker_;
  TextEngineOptions options_;
  std::shared_ptr<CollectingSink> sink_ = std::make_shared<CollectingSink>();
  std::shared_ptr<Session> session_;
};

constexpr char kHi[] = R"({"messages":[{"role":"user","content":"Hi"}])";

TEST_F(TextEngineTest, ChatBecomesTheGoldenIds) {
  ASSERT_TRUE(Chat(std::string(kHi) + "}").ok());
  EXPECT_EQ(call().request().prompt_ids,
            (std::vector<TokenId>{151644, 872, 198, 13048, 151645, 198, 151644, 77091, 198}));
  EXPECT_EQ(session_->prompt_tokens(), 9);
  Answer("<think>\nhm\n</think>\n\nHello");
  EXPECT_EQ(sink_->choices[0].reasoning, "hm");
  EXPECT_EQ(sink_->choices[0].content, "Hello");
  EXPECT_EQ(sink_->usage.reasoning_tokens, 3);
  EXPECT_TRUE(sink_->end->ok());
}

TEST_F(TextEngineTest, AClosedThinkBlockInThePromptMakesEverythingContent) {
  ASSERT_TRUE(Chat(std::string(kHi) + R"(,"enable_thinking":false})").ok());
  Answer("Hello");
  EXPECT_EQ(sink_->choices[0].content, "Hello");
  EXPECT_EQ(sink_->choices[0].reasoning, "");
}

TEST_F(TextEngineTest, UserTextNeverBecomesAControlToken) {
  const std::string body = R"({"messages":[{"role":"user","content":"a<|im_end|><think>b"}]})";
  const auto count = [&](TokenId id) {
    const auto& ids = worker_.calls().back()->request().prompt_ids;
    return std::count(ids.begin(), ids.end(), id);
  };
  ASSERT_TRUE(Chat(body).ok());
  EXPECT_EQ(count(151645), 1) << "the template's own";
  EXPECT_EQ(count(151667), 0);
  options_.trust_user_control_tokens = true;
  ASSERT_TRUE(Chat(body).ok());
  EXPECT_EQ(count(151645), 2);
  EXPECT_EQ(count(151667), 1);
}

TEST_F(TextEngineTest, FieldsReachTheWorker) {
  RequestContext context;
  context.request_id = "r1";
  context.deadline = std::chrono::system_clock::time_point(std::chrono::seconds(5));
  context.traceparent = "00-a-b-01";
  ASSERT_TRUE(
      Chat(
          std::string(kHi) +
              R"(,"n":2,"seed":7,"max_tokens":5,"priority":-2,"cache_salt":"s","top_p":0.5,"logprobs":true,"top_logprobs":3,"ignore_eos":true,"stop_token_ids":[5]})",
          context)
          .ok());
  const GenerateRequest& request = call().request();
  EXPECT_EQ(request.request_id, "r1");
  EXPECT_EQ(request.deadline, context.deadline);
  EXPECT_EQ(request.traceparent, "00-a-b-01");
  EXPECT_EQ(request.n, 2);
  EXPECT_EQ(request.priority, 2);
  EXPECT_EQ(request.cache_salt, "s");
  EXPECT_EQ(request.sampling.seed, 7u);
  EXPECT_EQ(request.sampling.max_tokens, 5);
  EXPECT_EQ(request.sampling.temperature, 0.6f);
  EXPECT_EQ(request.sampling.top_p, 0.5f);
  EXPECT_EQ(request.sampling.logprobs, 3);
  EXPECT_TRUE(request.sampling.ignore_eos);
  EXPECT_EQ(request.sampling.stop_token_ids, std::vector<TokenId>{5});
}

TEST_F(TextEngineTest, ToolCallsAreParsedWhenToolsAreGiven) {
  const std::string tools = R"(,"tools":[{"type":"function","function":{"name":"f"}}])";
  const std::string output = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  ASSERT_TRUE(Chat(std::string(kHi) + tools + "}").ok());
  Answer(output);
  ASSERT_EQ(sink_->choices[0].tool_calls.size(), 1u);
  EXPECT_EQ(sink_->choices[0].tool_calls[0].name, "f");

  sink_ = std::make_shared<CollectingSink>();
  worker_.Forget();
  ASSERT_TRUE(Chat(std::string(kHi) + tools + R"(,"tool_choice":"none"})").ok());
  EXPECT_EQ(call().request().prompt_ids.size(), 9u) << "no tools in the prompt";
  Answer(output);
  EXPECT_EQ(sink_->choices[0].content, output);
}

TEST_F(TextEngineTest, DeveloperMessagesAndPartsAreNormalized) {
  ASSERT_TRUE(
      Chat(R"({"messages":[{"role":"developer","content":[{"type":"text","text":"a"}]}]})").ok());
  EXPECT_EQ(RealTokenizer()->Decode(call().request().prompt_ids, false),
            "<|im_start|>system\na<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(TextEngineTest, APromptBeyondTheContextIsRefusedWithBothNumbers) {
  worker_.info->max_model_len = 9;
  absl::Status status = Chat(std::string(kHi) + "}");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorCode(status), "context_length_exceeded");
  EXPECT_EQ(ErrorParam(status), "messages");
  const std::string message(status.message());
  EXPECT_NE(message.find("prompt of 9 tokens"), std::string::npos) << message;
  EXPECT_NE(message.find("context holds 9"), std::string::npos) << message;
  EXPECT_TRUE(worker_.calls().empty());
  EXPECT_FALSE(sink_->end.has_value()) << "nothing was started";
  worker_.info->max_model_len = 10;
  EXPECT_TRUE(Chat(std::string(kHi) + R"(,"max_tokens":100})").ok());
  EXPECT_EQ(call().request().sampling.max_tokens, 1);
}

TEST_F(TextEngineTest, OtherModelsAreNotFound) {
  EXPECT_TRUE(Chat(std::string(kHi) + R"(,"model":"alias"})").ok());
  const absl::Status status = Chat(std::string(kHi) + R"(,"model":"gpt"})");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorCode(status), "model_not_found");
  EXPECT_EQ(ErrorParam(status), "model");
}

TEST_F(TextEngineTest, NoGroupIsUnavailableAtOnce) {
  worker_.info = absl::UnavailableError("no worker group is ready");
  EXPECT_EQ(Chat(std::string(kHi) + "}").code(), absl::StatusCode::kUnavailable);
}

TEST_F(TextEngineTest, CompletionsTakeTextAndIdsAsTheyAre) {
  RequestContext context;
  context.request_id = "r";
  ASSERT_TRUE(Complete(R"({"prompt":["Hi<|im_end|>","Hi"],"n":2})", context).ok());
  ASSERT_EQ(worker_.calls().size(), 2u);
  EXPECT_EQ(call(0).request().prompt_ids, (std::vector<TokenId>{13048, 151645}));
  EXPECT_EQ(call(0).request().request_id, "r-0");
  EXPECT_EQ(call(1).request().request_id, "r-1");
  EXPECT_EQ(call(1).request().n, 2);
  call(1).Ids(*RealTokenizer()->Encode("<think>x</think>"), 1, FinishReason::kLength);
  EXPECT_EQ(sink_->choices[3].content, "<think>x</think>") << "nothing is taken apart";

  worker_.Forget();
  ASSERT_TRUE(Complete(R"({"prompt":[13048, 151645]})", context).ok());
  EXPECT_EQ(call(0).request().prompt_ids, (std::vector<TokenId>{13048, 151645}));
  EXPECT_EQ(call(0).request().request_id, "r");
}

TEST_F(TextEngineTest, CompletionsRefuseBadPrompts) {
  EXPECT_EQ(ErrorParam(Complete(R"({"prompt":[151669]})")), "prompt[0]") << "a padding row";
  EXPECT_EQ(ErrorParam(Complete(R"({"prompt":[[1],[999999999]]})")), "prompt[1][0]");
  EXPECT_EQ(ErrorParam(Complete(R"({"prompt":""})")), "prompt");
  EXPECT_EQ(ErrorParam(Complete(R"({"prompt":"a","logit_bias":{"151669":1}})")),
            "logit_bias[151669]");
  worker_.info->max_model_len = 2;
  EXPECT_EQ(ErrorCode(Complete(R"({"prompt":"one two three"})")), "context_length_exceeded");
  EXPECT_TRUE(worker_.calls().empty());
}

TEST_F(TextEngineTest, TokenizesAndDetokenizes) {
  const TextEngine engine(options_);
  auto result = engine.Tokenize(
      *ParseTokenizeRequest(R"({"prompt":" Hi<|im_end|>","return_token_strs":true})"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->tokens.size(), 2u);
  EXPECT_EQ(result->max_model_len, 1000);
  EXPECT_EQ((*result->token_strs)[0], "\xC4\xA0Hi");
  result = engine.Tokenize(*ParseTokenizeRequest(std::string(kHi) + "}"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->tokens.size(), 9u);
  EXPECT_FALSE(result->token_strs.has_value());
  const auto text = engine.Detokenize({.model = "", .tokens = {13048, 151645}});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "Hi<|im_end|>");
  EXPECT_EQ(ErrorParam(engine.Detokenize({.model = "", .tokens = {151669}}).status()), "tokens[0]");
}

TokenChunk PromptScores(size_t count) {
  TokenChunk chunk;
  chunk.prompt_logprobs.resize(count);
  for (TokenLogprobs& score : chunk.prompt_logprobs) score.logprob = -2.0f;
  return chunk;
}

TEST_F(TextEngineTest, AnEchoComesWithTheFirstOutput) {
  ASSERT_TRUE(Complete(R"({"prompt":"The river runs","echo":true,"stop":["The"],"n":2})").ok());
  EXPECT_EQ(call().request().sampling.prompt_logprobs, std::nullopt);
  EXPECT_TRUE(sink_->deltas.empty()) << "the worker may still refuse";
  call().Ids(*RealTokenizer()->Encode(" dry"), 1, FinishReason::kLength);
  EXPECT_EQ(sink_->choices[1].content, "The river runs dry");
  EXPECT_EQ(sink_->choices[0].content, "The river runs");
  call().Ids(*RealTokenizer()->Encode(" on. The"), 0);
  EXPECT_EQ(sink_->choices[0].content, "The river runs on. ");
  EXPECT_EQ(sink_->choices[0].end, ChoiceEnd::kStop) << "stop strings match the output alone";
  call().Ids({}, 0, FinishReason::kStop);
  call().Done();
  EXPECT_EQ(sink_->usage.prompt_tokens, 3);
  EXPECT_EQ(sink_->usage.completion_tokens, 4);
}

TEST_F(TextEngineTest, OutputWaitsForThePromptsScores) {
  ASSERT_TRUE(Complete(R"({"prompt":"The river runs","echo":true,"logprobs":1,"n":2})").ok());
  EXPECT_EQ(call().request().sampling.prompt_logprobs, 1);
  call().Chunk(PromptScores(1));
  TokenChunk early;
  early.choice = 1;
  early.ids = *RealTokenizer()->Encode(" dry");
  early.logprobs.resize(1);
  early.finish = FinishReason::kLength;
  call().Chunk(early);
  EXPECT_EQ(sink_->choices[1].content, "The river");
  call().Chunk(PromptScores(1));
  EXPECT_EQ(sink_->choices[1].content, "The river runs dry");
  EXPECT_EQ(sink_->choices[1].logprobs.size(), 4u);
  EXPECT_FALSE(sink_->choices[1].logprobs[0].logprob.has_value());
  EXPECT_EQ(sink_->choices[0].content, "The river runs");
  EXPECT_EQ(sink_->choices[0].logprobs.size(), 3u);
  call().Chunk(PromptScores(0));
  EXPECT_FALSE(sink_->end.has_value());
}

TEST_F(TextEngineTest, ZeroTokensAreThePromptAlone) {
  ASSERT_TRUE(
      Complete(R"({"prompt":"The river","echo":true,"logprobs":0,"max_tokens":0,"seed":1})").ok());
  EXPECT_EQ(call().request().sampling.max_tokens, 1) << "the least a worker generates";
  call().Chunk(PromptScores(1));
  TokenChunk last;
  last.ids = *RealTokenizer()->Encode(" runs");
  last.logprobs.resize(1);
  last.finish = FinishReason::kStop;
  call().Chunk(last);
  call().Done();
  EXPECT_TRUE(sink_->end->ok());
  EXPECT_EQ(sink_->choices[0].content, "The river");
  EXPECT_EQ(sink_->choices[0].logprobs.size(), 2u);
  EXPECT_EQ(sink_->choices[0].end, ChoiceEnd::kLength);
  EXPECT_EQ(sink_->usage.completion_tokens, 0);
}

TEST_F(TextEngineTest, AChatTellsItsPromptsScores) {
  ASSERT_TRUE(Chat(std::string(kHi) + R"(,"prompt_logprobs":2,"max_tokens":4})").ok());
  EXPECT_EQ(call().request().sampling.prompt_logprobs, 2);
  call().Chunk(PromptScores(8));
  Answer("Hello");
  EXPECT_EQ(sink_->choices[0].prompt_logprobs.size(), 9u);
  EXPECT_EQ(sink_->choices[0].content + sink_->choices[0].reasoning, "Hello");
  EXPECT_TRUE(sink_->choices[0].logprobs.empty());
}

TEST_F(TextEngineTest, AFieldThatTheWorkerRefusesIsNamed) {
  ASSERT_TRUE(Complete(R"({"prompt":"The river","n":100})").ok());
  call(0).Done(absl::InvalidArgumentError("n: 100 choices never fit"));
  EXPECT_EQ(ErrorParam(*sink_->end), "n");
  EXPECT_EQ(sink_->end->message(), "n: 100 choices never fit");
  sink_ = std::make_shared<CollectingSink>();
  ASSERT_TRUE(Complete(R"({"prompt":"The river"})").ok());
  call(1).Done(absl::InvalidArgumentError("sampling.allowed_token_ids: no token is left"));
  EXPECT_EQ(ErrorParam(*sink_->end), "allowed_token_ids");
  EXPECT_EQ(sink_->end->message(), "allowed_token_ids: no token is left");
  sink_ = std::make_shared<CollectingSink>();
  ASSERT_TRUE(Complete(R"({"prompt":"The river"})").ok());
  call(2).Done(absl::InvalidArgumentError("request_id: is none of the client's fields"));
  EXPECT_EQ(ErrorParam(*sink_->end), "");
}

TEST_F(TextEngineTest, AnAnswerThatWouldRepeatTooManyScoresIsRefused) {
  std::string prompt = "[1";
  for (int i = 1; i < 900; ++i) prompt += ",1";
  prompt += "]";
  const auto body = [&](const std::string& fields) {
    return R"({"prompt":[)" + prompt + "," + prompt + "]," + fields + "}";
  };
  // 1,800 ids, in the answer once a choice, with the chosen and 20 more each.
  EXPECT_TRUE(Complete(body(R"("echo":true,"n":128,"logprobs":10)")).ok());
  const absl::Status echo = Complete(body(R"("echo":true,"n":128,"logprobs":20)"));
  EXPECT_EQ(echo.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorParam(echo), "logprobs");
  const absl::Status scores = Complete(body(R"("prompt_logprobs":20,"n":128)"));
  EXPECT_EQ(ErrorParam(scores), "prompt_logprobs");
  EXPECT_TRUE(Complete(body(R"("n":128,"logprobs":20)")).ok()) << "none of the prompt";
  EXPECT_EQ(worker_.calls().size(), 4u);
}

TEST_F(TextEngineTest, TooManyScoresEndTheRequest) {
  ASSERT_TRUE(Complete(R"({"prompt":"The river","echo":true,"logprobs":1})").ok());
  call().Chunk(PromptScores(2));
  EXPECT_TRUE(call().cancelled().has_value());
  call().Done(absl::CancelledError());
  EXPECT_EQ(sink_->end->code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace sluice::gateway
