// SPDX-License-Identifier: Apache-2.0
// Bodies of every JSON endpoint. No input may crash, hang or overflow the stack; what is refused is
// refused as INVALID_ARGUMENT with a message that is itself valid; what is accepted agrees with
// nlohmann/json, and the texts cut out for the template are JSON.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "gateway/openai/chat_request.h"
#include "gateway/openai/completion_request.h"
#include "gateway/openai/error.h"
#include "gateway/openai/json_reader.h"
#include "gateway/openai/tokenize_request.h"

namespace {

using namespace sluice::gateway;  // NOLINT(google-build-using-namespace)

void Check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "json_body_fuzz: %s\n", what);
  std::abort();
}

void CheckJson(const std::string& text, const char* what) {
  if (text.empty()) return;
  Check(JsonDocument::Parse(text, {.depth = 200}).ok(), what);
}

void CheckRefusal(const absl::Status& status) {
  if (status.ok()) return;
  Check(status.code() == absl::StatusCode::kInvalidArgument, "a refusal of another kind");
  Check(status.message().size() < 1000, "a message as long as the input");
  CheckJson(ErrorBody(status), "an error body that is not JSON");
}

// nlohmann's verdict, except where we are meant to be stricter or more lenient.
void CompareWithNlohmann(std::string_view text) {
  const auto ours = JsonDocument::Parse(text);
  CheckRefusal(ours.status());
  const bool theirs = nlohmann::json::accept(text);
  if (ours.ok() == theirs) return;
  if (ours.ok()) {
    // Numbers beyond a double; then the text must have an exponent or very many digits.
    Check(text.find_first_of("eE") != std::string_view::npos || text.size() > 300,
          "we take what nlohmann refuses");
    return;
  }
  const std::string message(ours.status().message());
  const bool bound =
      message.find("twice") != std::string::npos || message.find("nested") != std::string::npos ||
      message.find("more than") != std::string::npos || text.substr(0, 3) == "\xEF\xBB\xBF" ||
      // For nlohmann a NUL is the end of the text.
      text.find('\0') != std::string_view::npos;
  Check(bound, "nlohmann takes what we refuse");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (size < 4096) CompareWithNlohmann(text);
  if (const auto chat = ParseChatRequest(text); chat.ok()) {
    CheckJson(chat->conversation.messages_json, "messages that are not JSON");
    CheckJson(chat->conversation.tools_json, "tools that are not JSON");
    CheckJson(chat->conversation.template_kwargs_json, "template arguments that are not JSON");
    CheckRefusal(CheckGenerationOptions(chat->generation));
  } else {
    CheckRefusal(chat.status());
  }
  CheckRefusal(ParseCompletionRequest(text).status());
  CheckRefusal(ParseTokenizeRequest(text).status());
  CheckRefusal(ParseDetokenizeRequest(text).status());
  return 0;
}
