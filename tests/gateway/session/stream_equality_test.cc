// SPDX-License-Identifier: Apache-2.0
// Stream equals non-stream: random token streams of the real tokenizer (thinking, tool calls sound
// and broken, split characters, stop strings across tokens, n > 1) reach a session in random
// chunks. What an OpenAI client puts together from the streamed chunks' JSON is the message of the
// JSON body, and that does not depend on the chunks.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gateway/openai/chat_response.h"
#include "gateway/session/running_session.h"
#include "tests/gateway/session/real_tokenizer.h"
#include "tests/support/scripted_worker_client.h"

namespace sluice::gateway {
namespace {

using Json = nlohmann::json;
using testing::RealTokenizer;

constexpr TokenId kEos = 151645;
const ResponseHeader kHeader = {.id = "chatcmpl-1", .model = "m", .created_unix_seconds = 1};

// Streams and gathers at once, as the server does in either mode.
class BothWays final : public DeltaSink {
 public:
  explicit BothWays(bool logprobs)
      : writer_(kHeader, {.stream = true, .include_usage = true, .continuous_usage = false},
                logprobs, 1),
        aggregator_(kHeader, logprobs) {}

  void OnDelta(ChoiceDelta delta) override {
    for (const std::string& payload : writer_.OnDelta(delta)) chunks.push_back(payload);
    aggregator_.OnDelta(delta);
  }
  void OnEnd(absl::Status status, ResponseUsage usage) override {
    ASSERT_TRUE(status.ok()) << status;
    chunks.push_back(*writer_.OnEnd(usage));
    body = aggregator_.Finish(usage);
  }

  std::vector<std::string> chunks;
  std::string body;

 private:
  ChatStreamWriter writer_;
  ChatAggregator aggregator_;
};

void AppendText(Json& target, const Json& delta, const char* key) {
  if (!delta.contains(key)) return;
  if (!target.contains(key) || target[key].is_null()) target[key] = "";
  target[key] = target[key].get<std::string>() + delta[key].get<std::string>();
}

// The message an OpenAI client builds from streamed chunks, in the shape of the non-streamed
// choices.
Json FromChunks(const std::vector<std::string>& chunks, bool logprobs) {
  std::map<int, Json> choices;
  for (const std::string& text : chunks) {
    const Json chunk = Json::parse(text);
    for (const Json& choice : chunk["choices"]) {
      const int index = choice["index"];
      Json& whole = choices[index];
      const Json& delta = choice["delta"];
      if (delta.contains("role")) {
        EXPECT_TRUE(whole.is_null()) << "the role comes first, and once";
        whole = {{"index", index}, {"logprobs", nullptr}, {"message", Json::object()}};
        if (logprobs) whole["logprobs"] = {{"content", Json::array()}, {"refusal", nullptr}};
        whole["message"]["role"] = delta["role"];
      }
      Json& message = whole["message"];
      AppendText(message, delta, "content");
      AppendText(message, delta, "reasoning");
      AppendText(message, delta, "reasoning_content");
      if (delta.contains("tool_calls")) {
        for (const Json& call : delta["tool_calls"]) {
          Json& calls = message["tool_calls"];
          const size_t at = call["index"];
          if (call.contains("id")) {
            EXPECT_EQ(calls.size(), at);
            calls.push_back(
                {{"id", call["id"]}, {"type", call["type"]}, {"function", call["function"]}});
          } else {
            AppendText(calls.at(at)["function"], call["function"], "arguments");
          }
        }
      }
      if (!choice["logprobs"].is_null()) {
        for (const Json& entry : choice["logprobs"]["content"]) {
          whole["logprobs"]["content"].push_back(entry);
        }
      }
      if (!choice["finish_reason"].is_null()) {
        EXPECT_FALSE(whole.contains("finish_reason")) << "one end";
        whole["finish_reason"] = choice["finish_reason"];
        whole["stop_reason"] = choice["stop_reason"];
      }
    }
  }
  Json list = Json::array();
  for (auto& [index, choice] : choices) {
    Json& message = choice["message"];
    const bool more = message.contains("tool_calls") || message.contains("reasoning");
    if (message["content"] == "" && more) message["content"] = nullptr;
    for (const char* key : {"reasoning", "reasoning_content"}) {
      if (!message.contains(key)) message[key] = nullptr;
    }
    message["refusal"] = nullptr;
    list.push_back(choice);
  }
  return list;
}

std::vector<TokenId> RandomIds(std::mt19937& rng) {
  static const std::vector<std::string> kParts = {
      "<think>\n",
      "\n</think>\n\n",
      "Hello there",
      " wor",
      "ld STOP now",
      "\n",
      "\n\n",
      "你好，世界",
      "\xF0\x9F\xA4\x96\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9",
      "<tool_call>\n{\"name\": \"f\", \"arguments\": ",
      "{\"a\": \"é\xF0\x9F\x98\x80\"}",
      "}\n</tool_call>",
      "{\"x\": [1, 2",
      "<tool_call>",
      "</tool_call>",
      "<tool_call>\n{\"name\": \"g\", \"arguments\": {\"q\": \"s\"}}\n</tool_call>\n",
      "<|im_start|>",
      "quoted <tool_call> tag",
      "\"{\\\"k\\\": 1}\"",
      "e\xCC\x81"};
  std::vector<TokenId> ids;
  const unsigned parts = 1 + rng() % 8;
  for (unsigned i = 0; i < parts; ++i) {
    if (rng() % 8 == 0) {  // any id at all: parts of characters, bytes that are never text
      ids.push_back(static_cast<TokenId>(rng() % 151669));
      continue;
    }
    if (rng() % 8 == 0) {  // a single byte of 0x80 or more
      ids.push_back(static_cast<TokenId>(94 + rng() % 94));
      continue;
    }
    const auto encoded = *RealTokenizer()->Encode(kParts[rng() % kParts.size()]);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }
  if (rng() % 6 == 0) ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(rng() % ids.size()));
  return ids;
}

struct Answer {
  std::vector<TokenId> ids;
  FinishReason finish;
};

// Choices interleave; each arrives in chunks of 1 to `longest` ids.
BothWays Deliver(const std::vector<Answer>& answers, const ChoiceStreamOptions& options,
                 std::mt19937& rng, size_t longest) {
  sluice::testing::ScriptedWorkerClient worker;
  auto sink = std::make_shared<BothWays>(options.logprobs);
  std::vector<GenerateRequest> requests(1);
  requests[0].n = static_cast<int>(answers.size());
  requests[0].prompt_ids = {1};
  auto session = std::make_shared<RunningSession>(std::move(requests),
                                                  std::vector<ChoiceStreamOptions>{options}, sink);
  session->Start(worker);
  std::vector<size_t> at(answers.size(), 0);
  std::vector<int> open(answers.size());
  for (size_t i = 0; i < open.size(); ++i) open[i] = static_cast<int>(i);
  while (!open.empty()) {
    const size_t pick = rng() % open.size();
    const auto choice = static_cast<size_t>(open[pick]);
    const Answer& answer = answers[choice];
    TokenChunk chunk;
    chunk.choice = static_cast<int>(choice);
    const size_t size = std::min(1 + rng() % longest, answer.ids.size() - at[choice]);
    for (size_t i = at[choice]; i < at[choice] + size; ++i) {
      chunk.ids.push_back(answer.ids[i]);
      chunk.logprobs.push_back({-0.25f * static_cast<float>(i), {answer.ids[i]}, {-0.5f}});
    }
    at[choice] += size;
    if (at[choice] == answer.ids.size()) {
      chunk.finish = answer.finish;
      if (answer.finish == FinishReason::kStop) chunk.stop_id = answer.ids.back();
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
    }
    worker.calls()[0]->Chunk(chunk);
  }
  worker.calls()[0]->Done();
  return *sink;
}

TEST(StreamEquality, ChunksMakeNoDifferenceAndJoinToTheBody) {
  SLUICE_REQUIRE_TOKENIZER();
  std::mt19937 rng(20261124);
  std::map<std::string, int> seen;
  for (int round = 0; round < 3000; ++round) {
    ChoiceStreamOptions options;
    options.tokenizer = RealTokenizer();
    options.control = ControlTokens::Find(*RealTokenizer());
    options.parser.prompt.state = static_cast<Thinking>(rng() % 3);
    options.parser.parse_tool_calls = rng() % 4 != 0;
    options.parser.separate_reasoning = rng() % 5 != 0;
    options.parallel_tool_calls = rng() % 4 != 0;
    options.include_stop = rng() % 3 == 0;
    options.skip_special_tokens = rng() % 3 != 0;
    options.logprobs = rng() % 2 == 0;
    options.min_tokens = rng() % 4 == 0 ? 5 : 0;
    options.call_id_seed = 7;
    if (rng() % 2 == 0) options.stop = {"STOP", "llo th", "\n</th", "世界", "}}"};
    std::vector<Answer> answers(1 + rng() % 3);
    for (Answer& answer : answers) {
      answer.ids = RandomIds(rng);
      answer.finish = rng() % 2 == 0 ? FinishReason::kLength : FinishReason::kStop;
      if (answer.finish == FinishReason::kStop) answer.ids.push_back(kEos);
    }
    const BothWays whole = Deliver(answers, options, rng, 100000);
    const Json body = Json::parse(whole.body);
    for (const size_t longest : {1u, 3u, 100000u}) {
      const BothWays cut = Deliver(answers, options, rng, longest);
      ASSERT_EQ(cut.body, whole.body);
      ASSERT_EQ(FromChunks(cut.chunks, options.logprobs), body["choices"]) << whole.body;
    }
    for (const Json& choice : body["choices"]) {
      ++seen[choice["finish_reason"].get<std::string>()];
      if (choice["stop_reason"].is_string()) ++seen["stop string"];
      if (!choice["message"]["reasoning"].is_null()) ++seen["reasoning"];
      if (choice["message"].contains("tool_calls")) ++seen["calls"];
    }
  }
  for (const char* kind : {"stop", "length", "tool_calls", "stop string", "reasoning", "calls"}) {
    EXPECT_GT(seen[kind], 200) << kind;
  }
}

// Without parsing, the content is the tokenizer's own decoding up to the stop, and the log
// probabilities' bytes are the content's.
TEST(StreamEquality, PlainTextIsTheDecodingAndLogprobBytesAreTheText) {
  SLUICE_REQUIRE_TOKENIZER();
  std::mt19937 rng(5);
  int replaced = 0;
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    ChoiceStreamOptions options;
    options.tokenizer = RealTokenizer();
    options.parser.prompt.state = Thinking::kClosed;
    options.parser.separate_reasoning = false;
    options.logprobs = true;
    options.skip_special_tokens = rng() % 2 == 0;
    if (rng() % 2 == 0) options.stop = {"STOP"};
    Answer answer = {RandomIds(rng), FinishReason::kLength};
    const BothWays result = Deliver({answer}, options, rng, 1 + rng() % 4);
    const Json choice = Json::parse(result.body)["choices"][0];
    const std::string content = choice["message"]["content"];
    std::string text = RealTokenizer()->Decode(answer.ids, options.skip_special_tokens);
    const size_t at = options.stop.empty() ? std::string::npos : text.find("STOP");
    if (at != std::string::npos) {
      text.resize(at);
      ++stopped;
    }
    ASSERT_EQ(content, text);
    std::string bytes;
    for (const Json& entry : choice["logprobs"]["content"]) {
      for (const int byte : entry["bytes"]) bytes += static_cast<char>(byte);
    }
    if (text.find("\xEF\xBF\xBD") != std::string::npos) {
      ++replaced;  // the bytes are the raw ones there
      continue;
    }
    ASSERT_EQ(bytes, content);
  }
  EXPECT_GT(replaced, 100);
  EXPECT_GT(stopped, 100);
}

}  // namespace
}  // namespace sluice::gateway
