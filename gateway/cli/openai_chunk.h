// SPDX-License-Identifier: Apache-2.0
// OpenAiChunk: what a client reads of one event of a streamed OpenAI answer, chat or completion, of
// whichever server. Read in one pass without building a document, since `sluice bench` reads
// hundreds of thousands a minute. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::gateway {

struct OpenAiUsage {
  // -1: the server did not say.
  int64_t prompt_tokens = -1;
  int64_t completion_tokens = -1;
  int64_t cached_tokens = -1;     // of the prompt
  int64_t reasoning_tokens = -1;  // of the completion
};

struct OpenAiChunk {
  std::string reasoning;  // delta.reasoning_content, else delta.reasoning
  std::string content;    // delta.content, or a completion's text
  bool tool_call = false;
  std::string finish_reason;
  std::optional<OpenAiUsage> usage;
  std::optional<std::string> error;  // what went wrong, in the server's words

  // Whether it carries any of the answer.
  bool HasText() const { return !content.empty() || !reasoning.empty() || tool_call; }
};

// Nothing when the text is not JSON. With several choices their pieces are joined.
std::optional<OpenAiChunk> ReadOpenAiChunk(std::string_view json);

// What an answer that is no success says is wrong: the error's message where the body has OpenAI's
// shape, else the body's beginning.
std::string OpenAiErrorMessage(std::string_view body);

}  // namespace sluice::gateway
