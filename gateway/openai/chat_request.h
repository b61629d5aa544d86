// SPDX-License-Identifier: Apache-2.0
// ChatRequest: a checked /v1/chat/completions request. Messages, tools and template arguments stay
// JSON text, cut out of the body byte for byte, because key order and the spelling of numbers reach
// the model through the template. Pure functions, any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/openai/generation_options.h"

namespace sluice::gateway {

// The part of a chat request that makes the prompt; /tokenize has it too.
struct ConversationOptions {
  std::string messages_json;         // array, not empty, every message checked
  std::string tools_json;            // array; empty: none
  std::string template_kwargs_json;  // object, enable_thinking included; empty: none
  bool add_generation_prompt = true;
  bool continue_final_message = false;
};

struct ChatRequest {
  std::string model;  // empty: the served model
  ConversationOptions conversation;
  GenerationOptions generation;
  StreamOptions stream;
  bool parse_tool_calls = false;            // tools given and tool_choice is not "none"
  bool parallel_tool_calls = true;          // false: only the first call is returned
  bool separate_reasoning = true;           // false: thinking and its tags stay in the content
  std::vector<std::string> unknown_fields;  // ignored; for a debug log
};

// INVALID_ARGUMENT naming the field for anything malformed, out of range, or not supported; unknown
// fields are ignored. A field that would change the output is never ignored.
absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body);

// For callers that hold a conversation as structs (gRPC). The same checks as on the JSON form.
struct ChatToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text
};
struct ChatMessage {
  std::string role;
  std::string content;
  std::string reasoning_content;
  std::vector<ChatToolCall> tool_calls;
  std::string tool_call_id;
};
struct ChatTool {
  std::string name;
  std::string description;
  std::string parameters_json;  // object; empty: none
};
absl::StatusOr<std::string> MessagesToJson(std::span<const ChatMessage> messages);
absl::StatusOr<std::string> ToolsToJson(std::span<const ChatTool> tools);
// `kwargs_json` (an object, or empty) with enable_thinking added; an enable_thinking inside it
// wins.
absl::StatusOr<std::string> TemplateKwargsToJson(std::string_view kwargs_json,
                                                 std::optional<bool> enable_thinking);

}  // namespace sluice::gateway
