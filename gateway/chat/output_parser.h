// SPDX-License-Identifier: Apache-2.0
// OutputParser: a choice's pieces to reasoning, content and tool calls; the reasoning and the
// tool-call parser side by side. A tool call inside an unclosed think block ends the thinking; a
// quoted tag does not. White space next to a call belongs to the call's layout and is dropped,
// unless text on both sides needs it. Streamed and whole answers both come from here. Not thread
// safe; one per choice.
#pragma once

#include <string>
#include <vector>

#include "gateway/chat/output_piece.h"
#include "gateway/chat/reasoning_parser.h"
#include "gateway/chat/tool_call_parser.h"

namespace sluice::gateway {

struct OutputParserOptions {
  PromptThinking prompt;
  bool separate_reasoning = true;  // false: thinking and its tags stay in the content
  bool parse_tool_calls = false;   // false: calls and their tags stay in the content
};

class OutputParser {
 public:
  explicit OutputParser(const OutputParserOptions& options);

  // In the order in which they were written. No event is empty.
  std::vector<OutputEvent> Append(const OutputPiece& piece);
  // No more pieces. `truncated`: cut off by a limit or a stop string, the model did not stop by
  // itself.
  std::vector<OutputEvent> Finish(bool truncated);

  int reasoning_tokens() const { return reasoning_.reasoning_tokens(); }
  // At least one call, and every call has all of its arguments.
  bool has_complete_calls() const { return tools_.num_calls() > 0 && tools_.complete(); }

 private:
  void Take(ToolCallParser::Result result, std::vector<OutputEvent>& events);
  void Emit(ReasoningParser::Split split, std::vector<OutputEvent>& events);
  void EmitContent(const std::string& text, std::vector<OutputEvent>& events);

  const bool parse_tool_calls_;
  ReasoningParser reasoning_;
  ToolCallParser tools_;
  int held_tokens_ = 0;       // ids of a call that is not announced yet
  std::string held_space_;    // white space at the end of the content so far
  bool any_content_ = false;  // anything but held_space_
  bool after_call_ = false;   // no content since the last call
};

}  // namespace sluice::gateway
