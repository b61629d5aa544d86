// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/openai_chunk.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace sluice::gateway {
namespace {

using Json = nlohmann::json;

// Receives the parser's events. Knows by a stack in which part of the document it is.
class ChunkReader {
 public:
  OpenAiChunk Take() {
    if (chunk_.reasoning.empty()) chunk_.reasoning = std::move(reasoning_);
    if (is_error_ && !chunk_.error.has_value()) chunk_.error = std::move(message_);
    return std::move(chunk_);
  }

  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(Json::number_integer_t value) { return Number(value); }
  bool number_unsigned(Json::number_unsigned_t value) {
    return Number(static_cast<int64_t>(value));
  }
  bool number_float(Json::number_float_t, const std::string&) { return true; }
  bool binary(Json::binary_t&) { return true; }

  bool string(std::string& value) {
    switch (Top()) {
      case Part::kRoot:
        if (key_ == "error") chunk_.error = value;
        if (key_ == "object") is_error_ = value == "error";
        if (key_ == "message") message_ = value;
        break;
      case Part::kError:
        if (key_ == "message") chunk_.error = value;
        break;
      case Part::kChoice:
        if (key_ == "text") chunk_.content += value;
        if (key_ == "finish_reason") chunk_.finish_reason = value;
        break;
      case Part::kDelta:
        if (key_ == "content") chunk_.content += value;
        if (key_ == "reasoning_content") chunk_.reasoning += value;
        if (key_ == "reasoning") reasoning_ += value;
        break;
      default:
        break;
    }
    return true;
  }

  bool key(std::string& name) {
    key_.swap(name);
    return true;
  }

  bool start_object(size_t) {
    const Part part = Enter();
    if (part == Part::kError && !chunk_.error.has_value()) chunk_.error = "";
    if (part == Part::kUsage && !chunk_.usage.has_value()) chunk_.usage.emplace();
    if (part == Part::kToolCalls) chunk_.tool_call = true;
    stack_.push_back(part);
    return true;
  }
  bool start_array(size_t) {
    stack_.push_back(Enter());
    return true;
  }
  bool end_object() { return Leave(); }
  bool end_array() { return Leave(); }
  template <typename Error>
  bool parse_error(size_t, const std::string&, const Error&) {
    return false;
  }

 private:
  enum class Part {
    kNothing,
    kRoot,
    kError,
    kChoices,
    kChoice,
    kDelta,
    kToolCalls,
    kUsage,
    kPromptDetails,
    kCompletionDetails,
    kOther
  };

  Part Top() const { return stack_.empty() ? Part::kNothing : stack_.back(); }

  // The part that a bracket after key_ opens.
  Part Enter() const {
    switch (Top()) {
      case Part::kNothing:
        return Part::kRoot;
      case Part::kRoot:
        if (key_ == "choices") return Part::kChoices;
        if (key_ == "usage") return Part::kUsage;
        if (key_ == "error") return Part::kError;
        return Part::kOther;
      case Part::kChoices:
        return Part::kChoice;
      case Part::kChoice:
        return key_ == "delta" ? Part::kDelta : Part::kOther;
      case Part::kDelta:
      case Part::kToolCalls:
        return key_ == "tool_calls" ? Part::kToolCalls : Part::kOther;
      case Part::kUsage:
        if (key_ == "prompt_tokens_details") return Part::kPromptDetails;
        if (key_ == "completion_tokens_details") return Part::kCompletionDetails;
        return Part::kOther;
      default:
        return Part::kOther;
    }
  }

  bool Leave() {
    stack_.pop_back();
    return true;
  }

  bool Number(int64_t value) {
    if (!chunk_.usage.has_value()) return true;
    OpenAiUsage& usage = *chunk_.usage;
    if (Top() == Part::kUsage) {
      if (key_ == "prompt_tokens") usage.prompt_tokens = value;
      if (key_ == "completion_tokens") usage.completion_tokens = value;
      if (key_ == "reasoning_tokens") usage.reasoning_tokens = value;  // SGLang's place
    } else if (Top() == Part::kPromptDetails && key_ == "cached_tokens") {
      usage.cached_tokens = value;
    } else if (Top() == Part::kCompletionDetails && key_ == "reasoning_tokens") {
      usage.reasoning_tokens = value;
    }
    return true;
  }

  std::vector<Part> stack_;
  std::string key_;
  OpenAiChunk chunk_;
  std::string reasoning_;
  std::string message_;
  bool is_error_ = false;  // {"object": "error", "message": ...}, as some servers write it
};

}  // namespace

std::optional<OpenAiChunk> ReadOpenAiChunk(std::string_view json) {
  ChunkReader reader;
  if (!Json::sax_parse(json.begin(), json.end(), &reader)) return std::nullopt;
  return reader.Take();
}

std::string OpenAiErrorMessage(std::string_view body) {
  const std::optional<OpenAiChunk> parsed = ReadOpenAiChunk(body);
  const bool says = parsed.has_value() && parsed->error.has_value() && !parsed->error->empty();
  return says ? *parsed->error : std::string(body.substr(0, 200));
}

}  // namespace sluice::gateway
