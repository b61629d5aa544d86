// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/chat_messages.h"

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/openai/error.h"
#include "gateway/tokenizer/utf8.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {

namespace pb = ::sluice::v1;

namespace {

// The wire's unsigned numbers are ours signed; what does not fit is out of any range that is
// checked later, but must not wrap into it.
absl::StatusOr<int> ToInt(uint32_t value, std::string_view field) {
  if (value > static_cast<uint32_t>(std::numeric_limits<int>::max())) {
    return FieldError(field, absl::StrCat("is too large: ", value));
  }
  return static_cast<int>(value);
}

absl::Status ReadSampling(const pb::ChatRequest& message, GenerationOptions& options) {
  if (message.has_temperature()) options.temperature = message.temperature();
  if (message.has_top_p()) options.top_p = message.top_p();
  if (message.has_top_k()) {
    SLUICE_ASSIGN_OR_RETURN(options.top_k, ToInt(message.top_k(), "top_k"));
  }
  if (message.has_min_p()) options.min_p = message.min_p();
  if (message.has_repetition_penalty()) options.repetition_penalty = message.repetition_penalty();
  if (message.has_presence_penalty()) options.presence_penalty = message.presence_penalty();
  if (message.has_frequency_penalty()) options.frequency_penalty = message.frequency_penalty();
  options.logit_bias.assign(message.logit_bias().begin(), message.logit_bias().end());
  if (message.has_seed()) options.seed = message.seed();
  return absl::OkStatus();
}

absl::Status ReadLimits(const pb::ChatRequest& message, GenerationOptions& options) {
  if (message.has_max_tokens()) {
    SLUICE_ASSIGN_OR_RETURN(options.max_tokens, ToInt(message.max_tokens(), "max_tokens"));
  }
  SLUICE_ASSIGN_OR_RETURN(options.min_tokens, ToInt(message.min_tokens(), "min_tokens"));
  options.ignore_eos = message.ignore_eos();
  options.stop.assign(message.stop().begin(), message.stop().end());
  options.stop_token_ids.assign(message.stop_token_ids().begin(), message.stop_token_ids().end());
  options.include_stop_str_in_output = message.include_stop_str_in_output();
  if (message.has_top_logprobs()) {
    SLUICE_ASSIGN_OR_RETURN(options.logprobs, ToInt(message.top_logprobs(), "top_logprobs"));
  }
  if (message.has_prompt_logprobs()) {
    SLUICE_ASSIGN_OR_RETURN(options.prompt_logprobs,
                            ToInt(message.prompt_logprobs(), "prompt_logprobs"));
  }
  if (message.n() != 0) {
    SLUICE_ASSIGN_OR_RETURN(options.n, ToInt(message.n(), "n"));
  }
  options.priority = message.priority();
  options.cache_salt = message.cache_salt();
  return absl::OkStatus();
}

absl::Status ReadConversation(const pb::ChatRequest& message, ConversationOptions& conversation) {
  std::vector<ChatMessage> messages;
  for (const pb::Message& from : message.messages()) {
    ChatMessage& to = messages.emplace_back();
    to.role = from.role();
    to.content = from.content();
    to.reasoning_content = from.reasoning_content();
    to.tool_call_id = from.tool_call_id();
    for (const pb::ToolCall& call : from.tool_calls()) {
      to.tool_calls.push_back({call.id(), call.name(), call.arguments()});
    }
  }
  std::vector<ChatTool> tools;
  for (const pb::Tool& from : message.tools()) {
    tools.push_back({from.name(), from.description(), from.parameters_json()});
  }
  SLUICE_ASSIGN_OR_RETURN(conversation.messages_json, MessagesToJson(messages));
  if (!tools.empty()) {
    SLUICE_ASSIGN_OR_RETURN(conversation.tools_json, ToolsToJson(tools));
  }
  std::optional<bool> enable_thinking;
  if (message.has_enable_thinking()) enable_thinking = message.enable_thinking();
  SLUICE_ASSIGN_OR_RETURN(
      conversation.template_kwargs_json,
      TemplateKwargsToJson(message.chat_template_kwargs_json(), enable_thinking));
  return absl::OkStatus();
}

// A proto string must be UTF-8, and a token may be a part of a character; its bytes go beside it
// untouched.
std::string Shown(std::string_view token) {
  std::string text;
  const size_t used = AppendLossyUtf8(token, text);
  if (used < token.size()) text += "\uFFFD";
  return text;
}

void AddLogprobs(const std::vector<LogprobEntry>& entries,
                 google::protobuf::RepeatedPtrField<pb::TokenLogprob>& out) {
  for (const LogprobEntry& from : entries) {
    pb::TokenLogprob& to = *out.Add();
    to.set_id(from.id);
    to.set_token(Shown(from.token));
    to.set_bytes(from.token);
    if (from.logprob) to.set_logprob(*from.logprob);
    for (const LogprobEntry::Alternative& alternative : from.top) {
      pb::TokenLogprob::Alternative& top = *to.add_top();
      top.set_id(alternative.id);
      top.set_token(Shown(alternative.token));
      top.set_bytes(alternative.token);
      top.set_logprob(alternative.logprob);
    }
  }
}

}  // namespace

absl::StatusOr<ChatRequest> FromProto(const pb::ChatRequest& message) {
  ChatRequest request;
  request.model = message.model();
  SLUICE_RETURN_IF_ERROR(ReadConversation(message, request.conversation));
  SLUICE_RETURN_IF_ERROR(ReadSampling(message, request.generation));
  SLUICE_RETURN_IF_ERROR(ReadLimits(message, request.generation));
  SLUICE_RETURN_IF_ERROR(CheckGenerationOptions(request.generation));
  request.parse_tool_calls = message.tools_size() > 0;
  request.stream.stream = true;
  request.stream.include_usage = true;
  return request;
}

pb::ChatResponse ToProto(const ResponseHeader& header, const ChoiceDelta& delta) {
  pb::ChatResponse message;
  message.set_id(header.id);
  message.set_model(header.model);
  message.set_created_unix_seconds(header.created_unix_seconds);
  message.set_choice(static_cast<uint32_t>(delta.choice));
  message.set_reasoning_content(delta.reasoning);
  message.set_content(delta.content);
  for (const ToolCallDelta& from : delta.tool_calls) {
    pb::ToolCall& to = *message.add_tool_calls();
    to.set_index(static_cast<uint32_t>(from.index));
    to.set_id(from.id);
    to.set_name(from.name);
    to.set_arguments(from.arguments);
  }
  AddLogprobs(delta.logprobs, *message.mutable_logprobs());
  // The choices have one prompt.
  if (delta.choice == 0) AddLogprobs(delta.prompt_logprobs, *message.mutable_prompt_logprobs());
  if (delta.end != ChoiceEnd::kNone) message.set_finish_reason(ChoiceEndName(delta.end));
  return message;
}

pb::Usage ToProto(const ResponseUsage& usage) {
  pb::Usage message;
  message.set_prompt_tokens(static_cast<uint32_t>(usage.prompt_tokens));
  message.set_completion_tokens(static_cast<uint32_t>(usage.completion_tokens));
  message.set_total_tokens(static_cast<uint32_t>(usage.prompt_tokens + usage.completion_tokens));
  message.set_cached_tokens(static_cast<uint32_t>(usage.cached_tokens));
  message.set_reasoning_tokens(static_cast<uint32_t>(usage.reasoning_tokens));
  return message;
}

}  // namespace sluice::gateway
