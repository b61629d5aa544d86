// SPDX-License-Identifier: Apache-2.0
// The template engine on any template with any variables: the input is a template, the line %%%,
// and JSON. An object gives the template's variables; a list is also taken for messages, normalized
// and rendered with the template as a chat template.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gateway/chat/chat_template.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/template.h"
#include "gateway/chat/jinja/unicode.h"
#include "gateway/chat/message_normalizer.h"

namespace {

using sluice::gateway::ChatTemplate;
using sluice::gateway::NormalizeMessages;
using sluice::gateway::RenderInput;
using sluice::gateway::jinja::FindInvalidUtf8;
using sluice::gateway::jinja::Kind;
using sluice::gateway::jinja::Limits;
using sluice::gateway::jinja::Origin;
using sluice::gateway::jinja::ParseJson;
using sluice::gateway::jinja::Template;
using sluice::gateway::jinja::Text;
using sluice::gateway::jinja::Value;
using sluice::gateway::jinja::Variables;

constexpr std::string_view kSeparator = "\n%%%\n";

void Check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

void CheckText(const Text& text) {
  Check(FindInvalidUtf8(text.view()) == std::string_view::npos, "the output is UTF-8");
  size_t last = 0;
  bool first = true;
  for (const Text::Span& span : text.user_spans()) {
    Check(span.begin < span.end && span.end <= text.size(), "spans lie within the text");
    Check(first || last < span.begin, "spans are sorted and apart");
    first = false;
    last = span.end;
  }
}

void RenderOnce(const Template& compiled, const Value& context) {
  Variables variables;
  if (context.is(Kind::kDict)) {
    for (const auto& [name, value] : context.dict().entries) {
      variables.emplace_back(name.str().text.bytes(), value);
    }
  }
  variables.emplace_back("messages", context);
  Limits limits;
  limits.max_steps = 50'000;
  limits.max_allocated_bytes = 8 << 20;
  limits.max_output_bytes = 1 << 20;
  const absl::StatusOr<Text> text = compiled.Render(variables, limits);
  if (text.ok()) {
    CheckText(*text);
  } else {
    Check(text.status().code() == absl::StatusCode::kInvalidArgument,
          "errors are INVALID_ARGUMENT");
  }
}

void RenderChat(const std::string& source, const std::string& json) {
  const absl::StatusOr<std::string> messages = NormalizeMessages(json);
  if (!messages.ok()) return;
  Check(NormalizeMessages(*messages).ok(), "normalized messages are messages");
  const auto chat_template = ChatTemplate::Compile(source);
  if (!chat_template.ok()) return;
  RenderInput input;
  input.messages_json = *messages;
  input.add_generation_prompt = false;
  input.continue_final_message = true;
  (void)(*chat_template)->Render(input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t separator = input.find(kSeparator);
  const std::string source(input.substr(0, separator));
  std::string json = "{}";
  if (separator != std::string_view::npos) json = input.substr(separator + kSeparator.size());

  const absl::StatusOr<Value> context = ParseJson(json, Origin::kUser);
  const auto compiled = Template::Compile(source);
  if (!compiled.ok()) {
    Check(!compiled.status().message().empty(), "errors have a message");
    return 0;
  }
  RenderOnce(**compiled, context.ok() ? *context : Value::None());
  // A chat template runs within the limits of production, which a loop over nothing can use up; so
  // only short ones.
  const bool is_chat =
      context.ok() && context->is(Kind::kList) && source.find("range") == std::string::npos;
  if (is_chat) RenderChat(source, json);
  return 0;
}
