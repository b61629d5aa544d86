// SPDX-License-Identifier: Apache-2.0
// ReasoningParser: splits thinking from the answer, by token id and by where the prompt left off: a
// prompt that ends in a closed think block never makes the answer "reasoning", and a missing tag
// never swallows it. Trims what the Qwen3 template puts around the tags: one newline after <think>,
// one before </think>, two after it. Thinking that is only white space does not exist. Not thread
// safe; one per choice.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "gateway/chat/output_piece.h"

namespace sluice::gateway {

enum class Thinking {
  kUndecided,  // the model opens a think block as its first token, or does not think
  kOpen,       // inside a think block
  kClosed,     // the answer
};

struct PromptThinking {
  Thinking state = Thinking::kUndecided;
  bool ends_in_open_tag = false;  // the prompt's last id is <think>
};

// Looks for the last think tag of the prompt's last turn: the search stops at a special token.
PromptThinking FindPromptThinking(std::span<const int32_t> prompt_ids,
                                  std::optional<int32_t> think_open,
                                  std::optional<int32_t> think_close,
                                  const std::function<bool(int32_t)>& is_special);

class ReasoningParser {
 public:
  // At most one of the two is new text in most calls; if both, reasoning came first.
  struct Split {
    std::string reasoning;
    std::string content;
  };

  // separate: false leaves thinking, tags and white space in the content as they are.
  ReasoningParser(PromptThinking prompt, bool separate);

  Split Append(const OutputPiece& piece);
  // A tool call takes over: thinking ends without its tag.
  Split EndByToolCall();
  // No more pieces.
  Split Finish();

  // Ids strictly between the tags.
  int reasoning_tokens() const { return reasoning_tokens_; }

 private:
  Split Undecided(const OutputPiece& piece);
  Split Open(const OutputPiece& piece);
  Split Closed(const OutputPiece& piece);
  void Close();

  const bool separate_;
  Thinking state_;
  std::string held_;             // white space that may turn out to be worth nothing
  bool trim_first_newline_;      // kOpen: right after <think>
  bool seen_reasoning_ = false;  // kOpen: something but white space was there
  int trim_newlines_ = 0;        // kClosed: how many are still to be dropped
  int reasoning_tokens_ = 0;
};

}  // namespace sluice::gateway
