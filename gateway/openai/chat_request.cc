// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/chat_request.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/openai/conversation_fields.h"
#include "gateway/openai/error.h"
#include "gateway/openai/field_reader.h"
#include "gateway/openai/generation_fields.h"
#include "gateway/openai/json_reader.h"
#include "gateway/openai/json_writer.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

// JSON inside a field of a gRPC request: the parser's message speaks of the body, this one of the
// field.
absl::Status FieldJsonError(std::string_view param, const absl::Status& status) {
  absl::string_view message = status.message();
  absl::ConsumePrefix(&message, "the body ");
  return FieldError(param, std::string_view(message.data(), message.size()));
}

void ReadToolChoice(FieldReader& fields, ChatRequest& request) {
  const bool has_tools = !request.conversation.tools_json.empty();
  request.parse_tool_calls = has_tools;
  request.parallel_tool_calls = fields.Bool("parallel_tool_calls").value_or(true);
  const std::optional<JsonValue> choice = fields.Any("tool_choice");
  if (!choice) return;
  const std::string name = choice->is(JsonType::kString) ? choice->AsString() : std::string();
  if (name == "auto") return;
  if (name == "none") {
    // The model is not shown what it may not call.
    request.conversation.tools_json.clear();
    request.parse_tool_calls = false;
    return;
  }
  if (name == "required" || choice->is(JsonType::kObject)) {
    return fields.FailField("tool_choice",
                            "\"required\" and a named function are not supported yet; use \"auto\" "
                            "or \"none\"");
  }
  fields.FailField("tool_choice", "must be \"auto\" or \"none\"");
}

void ReadChatLogprobs(FieldReader& fields, GenerationOptions& options) {
  const bool logprobs = fields.Bool("logprobs").value_or(false);
  const std::optional<int> top = fields.Int("top_logprobs", 0, kMaxTopLogprobs);
  if (logprobs) {
    options.logprobs = top.value_or(0);
  } else if (top.value_or(0) > 0) {
    fields.FailField("top_logprobs", "needs logprobs: true");
  }
}

void RefuseChatFields(FieldReader& fields) {
  fields.Refuse({"functions", "function_call"}, "use tools and tool_choice");
  fields.RefuseGiven({"thinking", "reasoning"}, "use enable_thinking");
  fields.Refuse({"echo"}, "only completions have it");
  fields.Refuse({"chat_template", "documents", "audio", "web_search_options", "mm_processor_kwargs",
                 "media_io_kwargs"},
                "leave it out");
  if (const auto modalities = fields.Typed("modalities", JsonType::kArray)) {
    for (const JsonValue& element : modalities->Elements()) {
      if (!element.is(JsonType::kString) || element.AsString() != "text") {
        fields.FailField("modalities", "other than [\"text\"] are not supported");
      }
    }
  }
  fields.Accept({"prediction", "verbosity", "stream_reasoning", "reasoning_format"});
}

// Reads back what was built from structs, so that both forms meet the same checks.
absl::StatusOr<std::string> Checked(std::string json, absl::Status (*check)(const JsonValue&)) {
  SLUICE_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(json));
  SLUICE_RETURN_IF_ERROR(check(document.root()));
  return json;
}

}  // namespace

absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body) {
  SLUICE_ASSIGN_OR_RETURN(const JsonDocument document, ParseBody(body));
  FieldReader fields(document.root());
  ChatRequest request;
  request.model = fields.String("model").value_or("");
  ReadConversation(fields, request.conversation);
  ReadGenerationOptions(fields, request.generation);
  ReadChatLogprobs(fields, request.generation);
  ReadToolChoice(fields, request);
  ReadStreamOptions(fields, request.generation, request.stream);
  request.separate_reasoning = fields.Bool("include_reasoning").value_or(true) &
                               fields.Bool("separate_reasoning").value_or(true);
  RefuseChatFields(fields);
  RefuseUnsupportedFields(fields);
  SLUICE_RETURN_IF_ERROR(fields.status());
  request.unknown_fields = fields.Unknown();
  return request;
}

absl::StatusOr<std::string> MessagesToJson(std::span<const ChatMessage> messages) {
  JsonWriter json;
  json.BeginArray();
  for (const ChatMessage& message : messages) {
    json.BeginObject();
    json.Key("role").String(message.role);
    json.Key("content").String(message.content);
    if (!message.reasoning_content.empty()) {
      json.Key("reasoning_content").String(message.reasoning_content);
    }
    if (!message.tool_calls.empty()) {
      json.Key("tool_calls").BeginArray();
      for (const ChatToolCall& call : message.tool_calls) {
        json.BeginObject();
        json.Key("id").String(call.id).Key("type").String("function");
        json.Key("function").BeginObject();
        json.Key("name").String(call.name).Key("arguments").String(call.arguments);
        json.EndObject().EndObject();
      }
      json.EndArray();
    }
    if (!message.tool_call_id.empty()) json.Key("tool_call_id").String(message.tool_call_id);
    json.EndObject();
  }
  json.EndArray();
  return Checked(json.Take(), &CheckMessages);
}

absl::StatusOr<std::string> ToolsToJson(std::span<const ChatTool> tools) {
  if (tools.empty()) return std::string();
  JsonWriter json;
  json.BeginArray();
  for (size_t i = 0; i < tools.size(); ++i) {
    const ChatTool& tool = tools[i];
    json.BeginObject().Key("type").String("function").Key("function").BeginObject();
    json.Key("name").String(tool.name);
    if (!tool.description.empty()) json.Key("description").String(tool.description);
    if (!tool.parameters_json.empty()) {
      // Checked alone first: a text like `{}, "x": {}` must not become two fields.
      const auto parameters = JsonDocument::Parse(tool.parameters_json);
      if (!parameters.ok()) {
        return FieldJsonError(absl::StrCat("tools[", i, "].parameters_json"), parameters.status());
      }
      json.Key("parameters").Raw(parameters->root().raw());
    }
    json.EndObject().EndObject();
  }
  json.EndArray();
  return Checked(json.Take(), &CheckTools);
}

absl::StatusOr<std::string> TemplateKwargsToJson(std::string_view kwargs_json,
                                                 std::optional<bool> enable_thinking) {
  JsonWriter json;
  json.BeginObject();
  bool empty = true;
  if (!kwargs_json.empty()) {
    const auto kwargs = JsonDocument::Parse(kwargs_json);
    if (!kwargs.ok()) {
      return FieldJsonError("chat_template_kwargs", kwargs.status());
    }
    if (!kwargs->root().is(JsonType::kObject)) {
      return FieldError("chat_template_kwargs", "must be an object");
    }
    for (const char* reserved : {"messages", "tools", "add_generation_prompt", "chat_template"}) {
      if (kwargs->root().Find(reserved)) {
        return FieldError(absl::StrCat("chat_template_kwargs.", reserved),
                          "has its own place in the request");
      }
    }
    if (kwargs->root().Find("enable_thinking")) enable_thinking.reset();
    for (auto& [key, value] : kwargs->root().Members()) {
      json.Key(key).Raw(value.raw());
      empty = false;
    }
  }
  if (enable_thinking) json.Key("enable_thinking").Bool(*enable_thinking);
  if (empty && !enable_thinking) return std::string();
  json.EndObject();
  return json.Take();
}

}  // namespace sluice::gateway
