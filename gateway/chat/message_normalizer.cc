// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/message_normalizer.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/value.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

using jinja::Dict;
using jinja::Kind;
using jinja::List;
using jinja::Origin;
using jinja::Value;

Value Key(const char* name) { return Value::UserString(name); }

// The member's value; null where it is missing or null.
const Value* Member(const Value& object, std::string_view name) {
  if (!object.is(Kind::kDict)) return nullptr;
  const Value* value = object.dict().Find(name);
  return value == nullptr || value->is_none() ? nullptr : value;
}

bool IsString(const Value* value, std::string_view text) {
  return value != nullptr && value->is_string() && value->str().view() == text;
}

// The text of one content part; nothing where it is not text.
const Value* PartText(const Value& part) {
  if (part.is_string()) return &part;
  const Value* type = Member(part, "type");
  const bool refusal = IsString(type, "refusal");
  if (type != nullptr && !refusal && !IsString(type, "text")) return nullptr;
  const Value* text = Member(part, refusal ? "refusal" : "text");
  return text != nullptr && text->is_string() ? text : nullptr;
}

absl::StatusOr<Value> FlattenContent(const Value* content, size_t index) {
  if (content == nullptr) return Value::UserString("");
  if (content->is_string()) return *content;
  const std::string field = absl::StrCat("messages[", index, "].content");
  if (!content->is(Kind::kList)) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": expected text or a list of parts"));
  }
  std::string text;
  const std::vector<Value>& parts = content->list().items;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Value* part = PartText(parts[i]);
    if (part == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, "[", i, "]: only parts of type text are supported"));
    }
    if (i > 0) text += "\n";
    text += part->str().view();
  }
  return Value::UserString(std::move(text));
}

// The entries of an object with one member replaced or added at its end.
void SetMember(std::vector<Dict::Entry>* entries, const char* name, Value value) {
  for (Dict::Entry& entry : *entries) {
    if (entry.first.str().view() != name) continue;
    entry.second = std::move(value);
    return;
  }
  entries->emplace_back(Key(name), std::move(value));
}

Value ParseArguments(const Value* arguments) {
  if (arguments == nullptr || IsString(arguments, "")) return jinja::MakeDict({});
  if (!arguments->is_string()) return *arguments;
  absl::StatusOr<Value> parsed = jinja::ParseJson(arguments->str().view(), Origin::kUser);
  return parsed.ok() ? *std::move(parsed) : *arguments;
}

// A tool call with its arguments parsed. Both the OpenAI form and the bare function form are known.
Value NormalizeCall(const Value& call) {
  if (!call.is(Kind::kDict)) return call;
  const Value* function = Member(call, "function");
  const bool wrapped = function != nullptr && function->is(Kind::kDict);
  const Value& target = wrapped ? *function : call;
  if (!wrapped && Member(call, "name") == nullptr) return call;
  std::vector<Dict::Entry> entries = target.dict().entries;
  SetMember(&entries, "arguments", ParseArguments(Member(target, "arguments")));
  if (!wrapped) return jinja::MakeDict(std::move(entries));
  std::vector<Dict::Entry> outer = call.dict().entries;
  SetMember(&outer, "function", jinja::MakeDict(std::move(entries)));
  return jinja::MakeDict(std::move(outer));
}

absl::StatusOr<Value> NormalizeMessage(const Value& message, size_t index) {
  if (!message.is(Kind::kDict)) {
    return absl::InvalidArgumentError(absl::StrCat("messages[", index, "]: expected an object"));
  }
  std::vector<Dict::Entry> entries = message.dict().entries;
  if (IsString(Member(message, "role"), "developer")) SetMember(&entries, "role", Key("system"));
  SLUICE_ASSIGN_OR_RETURN(Value content, FlattenContent(Member(message, "content"), index));
  SetMember(&entries, "content", std::move(content));
  const Value* reasoning = Member(message, "reasoning");
  if (reasoning != nullptr && Member(message, "reasoning_content") == nullptr) {
    SetMember(&entries, "reasoning_content", *reasoning);
  }
  const Value* calls = Member(message, "tool_calls");
  if (calls != nullptr && calls->is(Kind::kList)) {
    std::vector<Value> normalized;
    for (const Value& call : calls->list().items) normalized.push_back(NormalizeCall(call));
    SetMember(&entries, "tool_calls", jinja::MakeList(List::Type::kList, std::move(normalized)));
  }
  return jinja::MakeDict(std::move(entries));
}

// Where in the list of calls this answer's id stands; nothing where it is missing or not unique.
std::optional<size_t> CallPosition(const std::vector<Value>& calls, const Value& answer) {
  const Value* id = Member(answer, "tool_call_id");
  if (id == nullptr || !id->is_string()) return std::nullopt;
  std::optional<size_t> position;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!IsString(Member(calls[i], "id"), id->str().view())) continue;
    if (position) return std::nullopt;
    position = i;
  }
  return position;
}

// Orders the tool messages in [begin, end) as the calls of the assistant message before them.
void OrderAnswers(const Value& assistant, std::vector<Value>* messages, size_t begin, size_t end) {
  const Value* calls = Member(assistant, "tool_calls");
  if (calls == nullptr || !calls->is(Kind::kList)) return;
  std::vector<std::pair<size_t, Value>> answers;
  std::vector<bool> answered(calls->list().items.size());
  for (size_t i = begin; i < end; ++i) {
    const std::optional<size_t> position = CallPosition(calls->list().items, (*messages)[i]);
    if (!position || answered[*position]) return;
    answered[*position] = true;
    answers.emplace_back(*position, (*messages)[i]);
  }
  std::sort(answers.begin(), answers.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = begin; i < end; ++i) (*messages)[i] = std::move(answers[i - begin].second);
}

void OrderToolMessages(std::vector<Value>* messages) {
  for (size_t i = 0; i < messages->size(); ++i) {
    if (!IsString(Member((*messages)[i], "role"), "assistant")) continue;
    size_t end = i + 1;
    while (end < messages->size() && IsString(Member((*messages)[end], "role"), "tool")) ++end;
    const Value assistant = (*messages)[i];
    OrderAnswers(assistant, messages, i + 1, end);
  }
}

}  // namespace

absl::StatusOr<std::string> NormalizeMessages(std::string_view messages_json) {
  absl::StatusOr<Value> parsed = jinja::ParseJson(messages_json, Origin::kUser);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("messages: ", parsed.status().message()));
  }
  if (!parsed->is(Kind::kList)) {
    return absl::InvalidArgumentError("messages: expected an array");
  }
  std::vector<Value> messages;
  for (const Value& message : parsed->list().items) {
    SLUICE_ASSIGN_OR_RETURN(Value normalized, NormalizeMessage(message, messages.size()));
    messages.push_back(std::move(normalized));
  }
  OrderToolMessages(&messages);
  jinja::Text out;
  SLUICE_RETURN_IF_ERROR(jinja::AppendJson(jinja::MakeList(List::Type::kList, std::move(messages)),
                                           jinja::JsonStyle(), &out));
  return std::move(out).TakeBytes();
}

}  // namespace sluice::gateway
