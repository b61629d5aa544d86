// SPDX-License-Identifier: Apache-2.0
// ChatTemplate: a conversation to prompt text, by the model folder's own Jinja template, equal byte
// for byte to Jinja2 as Transformers runs it (trim_blocks, lstrip_blocks, tojson as json.dumps
// without ASCII escapes). Every byte of the output knows whether the template or a user wrote it.
// Compiled once at start, then immutable: Render is const and thread safe, and its work and output
// are bounded.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::gateway {

// JSON texts, not trees: the engine keeps key order and the spelling of numbers.
struct RenderInput {
  std::string messages_json;  // array of OpenAI messages, already validated
  std::string tools_json;     // array of OpenAI tools; empty: none
  std::string kwargs_json;    // object of template arguments (enable_thinking, ...); empty: none
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // cut the prompt right after the last message's content
};

struct RenderedPrompt {
  // Half-open range of bytes of text.
  struct Range {
    size_t begin = 0;
    size_t end = 0;
  };
  std::string text;
  // What messages, tools or arguments brought in; sorted, disjoint. Control tokens are not
  // recognised there.
  std::vector<Range> user_ranges;
};

class ChatTemplate {
 public:
  // From the model folder: chat_template.jinja if present, else chat_template of
  // tokenizer_config.json. A construct the engine does not know is refused with its name and line.
  static absl::StatusOr<std::unique_ptr<const ChatTemplate>> Load(const std::string& model_dir);
  static absl::StatusOr<std::unique_ptr<const ChatTemplate>> Compile(std::string_view source);

  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // INVALID_ARGUMENT with the template's own message (raise_exception) or the engine's, with the
  // line.
  absl::StatusOr<RenderedPrompt> Render(const RenderInput& input) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace sluice::gateway
