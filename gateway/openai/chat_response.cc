// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/chat_response.h"

#include <utility>

#include "gateway/openai/json_writer.h"
#include "gateway/openai/response_json.h"

namespace sluice::gateway {
namespace {

constexpr char kChunkObject[] = "chat.completion.chunk";

// Some clients know only the older name, some only the newer one.
void WriteReasoning(std::string_view reasoning, JsonWriter& json) {
  json.Key("reasoning_content").StringOrNull(reasoning);
  json.Key("reasoning").StringOrNull(reasoning);
}

// The first delta of a call has its id; later ones neither repeat it nor the name.
void WriteToolCall(const ToolCallDelta& call, bool with_index, JsonWriter& json) {
  json.BeginObject();
  if (with_index) json.Key("index").Int(call.index);
  if (!call.id.empty()) json.Key("id").String(call.id).Key("type").String("function");
  json.Key("function").BeginObject();
  if (!call.name.empty()) json.Key("name").String(call.name);
  json.Key("arguments").String(call.arguments);
  json.EndObject().EndObject();
}

void WriteToolCalls(const std::vector<ToolCallDelta>& calls, bool with_index, JsonWriter& json) {
  json.BeginArray();
  for (const ToolCallDelta& call : calls) WriteToolCall(call, with_index, json);
  json.EndArray();
}

bool ShowsNothing(const ChoiceDelta& delta) {
  return delta.reasoning.empty() && delta.content.empty() && delta.tool_calls.empty() &&
         delta.logprobs.empty() && delta.end == ChoiceEnd::kNone;
}

void WriteLogprobsField(const ChoiceDelta& delta, bool asked, JsonWriter& json) {
  json.Key("logprobs");
  if (asked) {
    WriteChatLogprobs(delta.logprobs, json);
  } else {
    json.Null();
  }
}

}  // namespace

ChatStreamWriter::ChatStreamWriter(ResponseHeader header, const StreamOptions& options,
                                   bool logprobs, int prompt_tokens)
    : header_(std::move(header)),
      options_(options),
      logprobs_(logprobs),
      prompt_tokens_(prompt_tokens) {}

std::vector<std::string> ChatStreamWriter::OnDelta(const ChoiceDelta& delta) {
  std::vector<std::string> payloads;
  const auto choice = static_cast<size_t>(delta.choice);
  if (role_sent_.size() <= choice) role_sent_.resize(choice + 1, false);
  if (!role_sent_[choice]) {
    role_sent_[choice] = true;
    ChoiceDelta first;
    first.choice = delta.choice;
    payloads.push_back(Chunk(first, /*role=*/true));
  }
  if (!ShowsNothing(delta)) payloads.push_back(Chunk(delta, /*role=*/false));
  return payloads;
}

std::string ChatStreamWriter::Chunk(const ChoiceDelta& delta, bool role) const {
  JsonWriter json;
  json.BeginObject();
  WriteHeader(header_, kChunkObject, json);
  json.Key("choices").BeginArray().BeginObject();
  json.Key("index").Int(delta.choice);
  json.Key("delta").BeginObject();
  if (role) json.Key("role").String("assistant").Key("content").String("");
  if (!delta.reasoning.empty()) WriteReasoning(delta.reasoning, json);
  if (!delta.content.empty()) json.Key("content").String(delta.content);
  if (!delta.tool_calls.empty()) {
    json.Key("tool_calls");
    WriteToolCalls(delta.tool_calls, /*with_index=*/true, json);
  }
  json.EndObject();
  WriteLogprobsField(delta, logprobs_ && !delta.logprobs.empty(), json);
  WriteEnd(delta, json);
  json.EndObject().EndArray();
  if (options_.include_usage) {
    json.Key("usage");
    if (options_.continuous_usage) {
      WriteUsage(UsageSoFar(delta, prompt_tokens_), json);
    } else {
      json.Null();
    }
  }
  json.EndObject();
  return json.Take();
}

std::optional<std::string> ChatStreamWriter::OnEnd(const ResponseUsage& usage) const {
  if (!options_.include_usage) return std::nullopt;
  return UsageChunk(header_, kChunkObject, usage);
}

ChatAggregator::ChatAggregator(ResponseHeader header, bool logprobs)
    : header_(std::move(header)), logprobs_(logprobs) {}

void ChatAggregator::OnDelta(const ChoiceDelta& delta) { JoinDelta(delta, choices_[delta.choice]); }

std::string ChatAggregator::Finish(const ResponseUsage& usage) const {
  JsonWriter json;
  json.BeginObject();
  WriteHeader(header_, "chat.completion", json);
  json.Key("choices").BeginArray();
  for (const auto& [index, choice] : choices_) {
    json.BeginObject().Key("index").Int(index);
    json.Key("message").BeginObject();
    json.Key("role").String("assistant");
    // Nothing at all is an empty answer; nothing beside thinking or calls is no answer.
    if (choice.content.empty() && !(choice.tool_calls.empty() && choice.reasoning.empty())) {
      json.Key("content").Null();
    } else {
      json.Key("content").String(choice.content);
    }
    WriteReasoning(choice.reasoning, json);
    if (!choice.tool_calls.empty()) {
      json.Key("tool_calls");
      WriteToolCalls(choice.tool_calls, /*with_index=*/false, json);
    }
    json.Key("refusal").Null().EndObject();
    WriteLogprobsField(choice, logprobs_, json);
    WriteEnd(choice, json);
    json.EndObject();
  }
  json.EndArray();
  // The choices have one prompt.
  if (const auto first = choices_.begin();
      first != choices_.end() && !first->second.prompt_logprobs.empty()) {
    json.Key("prompt_logprobs");
    WritePromptLogprobs(first->second.prompt_logprobs, json);
  }
  json.Key("usage");
  WriteUsage(usage, json);
  json.EndObject();
  return json.Take();
}

}  // namespace sluice::gateway
