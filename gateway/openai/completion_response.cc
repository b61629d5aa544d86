// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/completion_response.h"

#include <utility>

#include "gateway/openai/json_writer.h"
#include "gateway/openai/response_json.h"

namespace sluice::gateway {
namespace {

constexpr char kObject[] = "text_completion";

void WriteChoice(const ChoiceDelta& delta, bool logprobs, int64_t& offset, JsonWriter& json) {
  json.BeginObject();
  json.Key("index").Int(delta.choice);
  json.Key("text").String(delta.content);
  json.Key("logprobs");
  if (logprobs) {
    WriteCompletionLogprobs(delta.logprobs, offset, json);
  } else {
    json.Null();
  }
  if (!delta.prompt_logprobs.empty()) {
    json.Key("prompt_logprobs");
    WritePromptLogprobs(delta.prompt_logprobs, json);
  }
  WriteEnd(delta, json);
  json.EndObject();
}

}  // namespace

CompletionStreamWriter::CompletionStreamWriter(ResponseHeader header, const StreamOptions& options,
                                               bool logprobs, int prompt_tokens)
    : header_(std::move(header)),
      options_(options),
      logprobs_(logprobs),
      prompt_tokens_(prompt_tokens) {}

std::optional<std::string> CompletionStreamWriter::OnDelta(const ChoiceDelta& delta) {
  if (delta.content.empty() && delta.logprobs.empty() && delta.end == ChoiceEnd::kNone) {
    return std::nullopt;
  }
  JsonWriter json;
  json.BeginObject();
  WriteHeader(header_, kObject, json);
  json.Key("choices").BeginArray();
  WriteChoice(delta, logprobs_ && !delta.logprobs.empty(), text_offset_[delta.choice], json);
  json.EndArray();
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

std::optional<std::string> CompletionStreamWriter::OnEnd(const ResponseUsage& usage) const {
  if (!options_.include_usage) return std::nullopt;
  return UsageChunk(header_, kObject, usage);
}

CompletionAggregator::CompletionAggregator(ResponseHeader header, bool logprobs)
    : header_(std::move(header)), logprobs_(logprobs) {}

void CompletionAggregator::OnDelta(const ChoiceDelta& delta) {
  JoinDelta(delta, choices_[delta.choice]);
}

std::string CompletionAggregator::Finish(const ResponseUsage& usage) const {
  JsonWriter json;
  json.BeginObject();
  WriteHeader(header_, kObject, json);
  json.Key("choices").BeginArray();
  for (const auto& [index, choice] : choices_) {
    int64_t offset = 0;
    WriteChoice(choice, logprobs_, offset, json);
  }
  json.EndArray();
  json.Key("usage");
  WriteUsage(usage, json);
  json.EndObject();
  return json.Take();
}

}  // namespace sluice::gateway
