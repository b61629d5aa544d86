// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/completion_request.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/openai/error.h"
#include "gateway/openai/field_reader.h"
#include "gateway/openai/generation_fields.h"
#include "gateway/openai/json_reader.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr char kPromptShapes[] =
    "must be a string, an array of strings, an array of token ids, or an array of arrays of token "
    "ids";

absl::Status ReadOnePrompt(const JsonValue& value, std::string_view path,
                           std::vector<CompletionPrompt>& prompts) {
  if (value.is(JsonType::kString)) {
    prompts.emplace_back(value.AsString());
    return absl::OkStatus();
  }
  if (!value.is(JsonType::kArray)) return FieldError(path, kPromptShapes);
  std::vector<int32_t> ids;
  SLUICE_RETURN_IF_ERROR(ReadIds(value, path, ids));
  if (ids.empty()) return FieldError(path, "must have at least one token id");
  prompts.emplace_back(std::move(ids));
  return absl::OkStatus();
}

absl::Status ReadPrompts(const JsonValue& value, std::vector<CompletionPrompt>& prompts) {
  if (value.is(JsonType::kString)) return ReadOnePrompt(value, "prompt", prompts);
  if (!value.is(JsonType::kArray)) return FieldError("prompt", kPromptShapes);
  if (value.size() == 0) return FieldError("prompt", "must not be an empty array");
  const std::vector<JsonValue> elements = value.Elements();
  if (elements[0].is(JsonType::kNumber)) return ReadOnePrompt(value, "prompt", prompts);
  if (elements.size() > kMaxPrompts) {
    return FieldError("prompt", absl::StrCat("has ", elements.size(), " prompts; at most ",
                                             kMaxPrompts, " are allowed"));
  }
  for (size_t i = 0; i < elements.size(); ++i) {
    if (elements[i].type() != elements[0].type()) return FieldError("prompt", kPromptShapes);
    SLUICE_RETURN_IF_ERROR(ReadOnePrompt(elements[i], absl::StrCat("prompt[", i, "]"), prompts));
  }
  return absl::OkStatus();
}

// What OpenAI and vLLM generate when a completion names no limit.
constexpr int kDefaultMaxTokens = 16;

void DefaultMaxTokens(FieldReader& fields, GenerationOptions& options) {
  if (options.max_tokens) return;
  options.max_tokens = kDefaultMaxTokens;
  if (fields.ok()) fields.Fail(CheckGenerationOptions(options));  // min_tokens may be larger
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view body) {
  SLUICE_ASSIGN_OR_RETURN(const JsonDocument document, ParseBody(body));
  FieldReader fields(document.root());
  CompletionRequest request;
  request.model = fields.String("model").value_or("");
  if (const auto prompt = fields.Any("prompt")) {
    fields.Fail(ReadPrompts(*prompt, request.prompts));
  } else {
    fields.FailField("prompt", "is required");
  }
  request.generation.echo = fields.Bool("echo").value_or(false);
  ReadGenerationOptions(fields, request.generation);
  DefaultMaxTokens(fields, request.generation);
  request.generation.logprobs = fields.Int("logprobs", 0, kMaxTopLogprobs);
  ReadStreamOptions(fields, request.generation, request.stream);
  fields.RefuseGiven({"thinking", "reasoning"}, "leave it out");
  RefuseUnsupportedFields(fields);
  SLUICE_RETURN_IF_ERROR(fields.status());
  request.unknown_fields = fields.Unknown();
  return request;
}

}  // namespace sluice::gateway
