// SPDX-License-Identifier: Apache-2.0
// Renders what it reads: one JSON object a line on standard input, one on standard output. Scripts
// compare the engine with Jinja2 through it (tests/reference/compare_with_jinja2.py).
//   {"template": ..., "context": "<JSON object>"}                      renders with these variables
//   {"template": ..., "messages": "<JSON>", "tools": ..., "kwargs": ...,
//    "add_generation_prompt": bool, "continue_final_message": bool}    renders a conversation
// answers {"output": ...} or {"error": ...}.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "gateway/chat/chat_template.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/template.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

absl::StatusOr<std::string> RenderSnippet(const nlohmann::json& request) {
  SLUICE_ASSIGN_OR_RETURN(
      const auto compiled,
      jinja::Template::Compile(request["template"].get_ref<const std::string&>()));
  SLUICE_ASSIGN_OR_RETURN(
      const jinja::Value context,
      jinja::ParseJson(request["context"].get_ref<const std::string&>(), jinja::Origin::kUser));
  jinja::Variables variables;
  for (const auto& [name, value] : context.dict().entries) {
    variables.emplace_back(name.str().text.bytes(), value);
  }
  SLUICE_ASSIGN_OR_RETURN(jinja::Text text, compiled->Render(variables));
  return text.bytes();
}

absl::StatusOr<std::string> RenderChat(const nlohmann::json& request) {
  SLUICE_ASSIGN_OR_RETURN(const auto compiled,
                          ChatTemplate::Compile(request["template"].get_ref<const std::string&>()));
  RenderInput input;
  input.messages_json = request["messages"];
  input.tools_json = request.value("tools", "");
  input.kwargs_json = request.value("kwargs", "");
  input.add_generation_prompt = request.value("add_generation_prompt", true);
  input.continue_final_message = request.value("continue_final_message", false);
  SLUICE_ASSIGN_OR_RETURN(RenderedPrompt prompt, compiled->Render(input));
  return prompt.text;
}

}  // namespace
}  // namespace sluice::gateway

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const nlohmann::json request = nlohmann::json::parse(line);
    const absl::StatusOr<std::string> text = request.contains("messages")
                                                 ? sluice::gateway::RenderChat(request)
                                                 : sluice::gateway::RenderSnippet(request);
    nlohmann::json answer;
    if (text.ok()) {
      answer["output"] = *text;
    } else {
      answer["error"] = std::string(text.status().message());
    }
    std::cout << answer.dump() << std::endl;
  }
  return 0;
}
