// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/conversation_fields.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/openai/error.h"
#include "gateway/openai/json_writer.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                    "tool"};
constexpr char kRoleList[] = "system, developer, user, assistant or tool";

// A client's word inside our message.
std::string Quoted(std::string_view text) {
  constexpr size_t kMaxBytes = 40;
  if (text.size() > kMaxBytes) return "an unknown value";
  return absl::StrCat("\"", absl::string_view(text.data(), text.size()), "\"");
}

std::string Got(const std::optional<JsonValue>& value) {
  if (!value) return "it is missing";
  return absl::StrCat("got ", JsonTypeName(value->type()));
}

// A text, or the reason why a part is none.
absl::Status CheckPart(const JsonValue& part, const std::string& path) {
  if (part.is(JsonType::kString)) return absl::OkStatus();  // as vLLM takes it
  if (!part.is(JsonType::kObject)) {
    return FieldError(path, "must be an object {\"type\": \"text\", \"text\": ...}");
  }
  const std::optional<JsonValue> type = part.Find("type");
  if (!type || !type->is(JsonType::kString)) {
    return FieldError(absl::StrCat(path, ".type"), absl::StrCat("must be a string; ", Got(type)));
  }
  const std::string name = type->AsString();
  // A refusal is what an assistant wrote when it came from OpenAI's own API.
  if (name != "text" && name != "refusal") {
    return FieldError(path, absl::StrCat("has type ", Quoted(name),
                                         "; this model reads text only, so parts must have type "
                                         "\"text\""));
  }
  const std::optional<JsonValue> text = part.Find(name);
  if (!text || !text->is(JsonType::kString)) {
    return FieldError(absl::StrCat(path, ".", name), absl::StrCat("must be a string; ", Got(text)));
  }
  return absl::OkStatus();
}

absl::Status CheckContent(const JsonValue& message, const std::string& role,
                          const std::string& path) {
  const std::optional<JsonValue> content = message.Find("content");
  const std::string name = absl::StrCat(path, ".content");
  if (!content) {
    if (role == "assistant") return absl::OkStatus();
    return FieldError(name, "is required");
  }
  if (content->is(JsonType::kString) || content->is(JsonType::kNull)) return absl::OkStatus();
  if (!content->is(JsonType::kArray)) {
    return FieldError(
        name, absl::StrCat("must be a string, null or an array of text parts; ", Got(content)));
  }
  const std::vector<JsonValue> parts = content->Elements();
  for (size_t i = 0; i < parts.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(CheckPart(parts[i], absl::StrCat(name, "[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckToolCall(const JsonValue& call, const std::string& path) {
  if (!call.is(JsonType::kObject)) return FieldError(path, "must be an object");
  FieldReader fields(call, absl::StrCat(path, "."));
  fields.String("id");
  const std::optional<std::string> type = fields.String("type");
  if (type && *type != "function") fields.FailField("type", "must be \"function\"");
  const std::optional<JsonValue> function = fields.Typed("function", JsonType::kObject);
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (!function) return FieldError(absl::StrCat(path, ".function"), "is required");
  FieldReader inner(*function, absl::StrCat(path, ".function."));
  const std::optional<std::string> name = inner.String("name");
  if (!name || name->empty()) inner.FailField("name", "must be a string that is not empty");
  // A string that is not JSON is history too: a model was cut off, and the client replays it.
  const std::optional<JsonValue> arguments = inner.Any("arguments");
  if (arguments && !arguments->is(JsonType::kString) && !arguments->is(JsonType::kObject)) {
    inner.FailField("arguments", absl::StrCat("must be a string or an object; ", Got(arguments)));
  }
  return inner.status();
}

absl::Status CheckMessage(const JsonValue& message, const std::string& path) {
  if (!message.is(JsonType::kObject)) {
    return FieldError(path, absl::StrCat("must be an object; ", Got(message)));
  }
  const std::optional<JsonValue> role = message.Find("role");
  const std::string role_path = absl::StrCat(path, ".role");
  if (!role || !role->is(JsonType::kString)) {
    return FieldError(role_path, absl::StrCat("must be ", kRoleList, "; ", Got(role)));
  }
  const std::string role_name = role->AsString();
  if (std::find(kRoles.begin(), kRoles.end(), role_name) == kRoles.end()) {
    return FieldError(role_path, absl::StrCat("must be ", kRoleList, "; got ", Quoted(role_name)));
  }
  SLUICE_RETURN_IF_ERROR(CheckContent(message, role_name, path));
  FieldReader fields(message, absl::StrCat(path, "."));
  for (const char* name : {"name", "tool_call_id", "reasoning_content", "reasoning", "refusal"}) {
    fields.String(name);
  }
  const std::optional<JsonValue> calls = fields.Typed("tool_calls", JsonType::kArray);
  if (fields.Any("function_call")) {
    fields.FailField("function_call", "is not supported; use tool_calls");
  }
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (!calls) return absl::OkStatus();
  if (role_name != "assistant" && calls->size() > 0) {
    return FieldError(absl::StrCat(path, ".tool_calls"), "belongs to assistant messages only");
  }
  const std::vector<JsonValue> elements = calls->Elements();
  for (size_t i = 0; i < elements.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(CheckToolCall(elements[i], absl::StrCat(path, ".tool_calls[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckTool(const JsonValue& tool, const std::string& path) {
  if (!tool.is(JsonType::kObject)) {
    return FieldError(path, absl::StrCat("must be an object; ", Got(tool)));
  }
  FieldReader fields(tool, absl::StrCat(path, "."));
  const std::optional<std::string> type = fields.String("type");
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (!type || *type != "function") {
    return FieldError(absl::StrCat(path, ".type"), "must be \"function\"");
  }
  const std::optional<JsonValue> function = fields.Typed("function", JsonType::kObject);
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (!function) return FieldError(absl::StrCat(path, ".function"), "is required");
  FieldReader inner(*function, absl::StrCat(path, ".function."));
  const std::optional<std::string> name = inner.String("name");
  if (!name || name->empty()) inner.FailField("name", "must be a string that is not empty");
  inner.String("description");
  inner.Typed("parameters", JsonType::kObject);
  inner.Bool("strict");
  return inner.status();
}

// Whether thinking was asked for outside chat_template_kwargs.
std::optional<bool> ReadThinkingSwitch(FieldReader& fields) {
  const std::optional<bool> direct = fields.Bool("enable_thinking");
  const std::optional<std::string> effort = fields.String("reasoning_effort");
  if (effort) {
    constexpr std::array<std::string_view, 7> kEfforts = {"none", "minimal", "low", "medium",
                                                          "high", "xhigh",   "max"};
    if (std::find(kEfforts.begin(), kEfforts.end(), *effort) == kEfforts.end()) {
      fields.FailField("reasoning_effort",
                       "must be none, minimal, low, medium, high, xhigh or max");
    }
  }
  if (direct) return direct;
  // Qwen3 knows no degrees, only off.
  return effort && *effort == "none" ? std::optional<bool>(false) : std::nullopt;
}

void ReadTemplateKwargs(FieldReader& fields, ConversationOptions& conversation) {
  const std::optional<bool> thinking = ReadThinkingSwitch(fields);
  const std::optional<JsonValue> kwargs = fields.Typed("chat_template_kwargs", JsonType::kObject);
  auto json = TemplateKwargsToJson(kwargs ? kwargs->raw() : std::string_view(), thinking);
  if (json.ok()) {
    conversation.template_kwargs_json = *std::move(json);
  } else {
    fields.Fail(json.status());
  }
}

void ReadPromptEnd(FieldReader& fields, ConversationOptions& conversation) {
  const std::optional<bool> add = fields.Bool("add_generation_prompt");
  conversation.continue_final_message = fields.Bool("continue_final_message").value_or(false);
  if (conversation.continue_final_message && add.value_or(false)) {
    fields.FailField("continue_final_message",
                     "cannot be true together with add_generation_prompt: the first continues the "
                     "last message, the second opens a new one");
  }
  conversation.add_generation_prompt = add.value_or(!conversation.continue_final_message);
}

}  // namespace

absl::Status CheckMessages(const JsonValue& messages) {
  if (messages.size() == 0) return FieldError("messages", "must have at least one message");
  const std::vector<JsonValue> elements = messages.Elements();
  for (size_t i = 0; i < elements.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(CheckMessage(elements[i], absl::StrCat("messages[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckTools(const JsonValue& tools) {
  const std::vector<JsonValue> elements = tools.Elements();
  for (size_t i = 0; i < elements.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(CheckTool(elements[i], absl::StrCat("tools[", i, "]")));
  }
  return absl::OkStatus();
}

void ReadConversation(FieldReader& fields, ConversationOptions& conversation) {
  ReadPromptEnd(fields, conversation);
  ReadTemplateKwargs(fields, conversation);
  if (const auto tools = fields.Typed("tools", JsonType::kArray); tools && tools->size() > 0) {
    fields.Fail(CheckTools(*tools));
    conversation.tools_json = std::string(tools->raw());
  }
  const std::optional<JsonValue> messages = fields.Typed("messages", JsonType::kArray);
  if (!messages) return fields.FailField("messages", "is required");
  fields.Fail(CheckMessages(*messages));
  conversation.messages_json = std::string(messages->raw());
  if (fields.ok() && conversation.continue_final_message) {
    const std::optional<JsonValue> role = messages->Elements().back().Find("role");
    if (role->AsString() != "assistant") {
      fields.FailField("continue_final_message",
                       "needs a last message of role assistant to continue");
    }
  }
}

}  // namespace sluice::gateway
