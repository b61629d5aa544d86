// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/output_parser.h"

#include <algorithm>
#include <utility>

namespace sluice::gateway {
namespace {

constexpr char kSpace[] = " \t\r\n\f\v";

}  // namespace

OutputParser::OutputParser(const OutputParserOptions& options)
    : parse_tool_calls_(options.parse_tool_calls),
      reasoning_(options.prompt, options.separate_reasoning) {}

std::vector<OutputEvent> OutputParser::Append(const OutputPiece& piece) {
  std::vector<OutputEvent> events;
  if (tools_.active()) {
    if (!tools_.announced()) held_tokens_ += piece.tokens;
    ToolCallParser::Result result = tools_.Append(piece);
    const bool consumed = result.consumed;
    if (!consumed) held_tokens_ -= std::min(held_tokens_, piece.tokens);
    Take(std::move(result), events);
    if (consumed) return events;
  }
  if (piece.kind == PieceKind::kToolCallOpen && parse_tool_calls_) {
    held_tokens_ = piece.tokens;
    tools_.Open(piece.text);
    return events;
  }
  Emit(reasoning_.Append(piece), events);
  return events;
}

std::vector<OutputEvent> OutputParser::Finish(bool truncated) {
  std::vector<OutputEvent> events;
  if (tools_.active()) Take(tools_.Finish(truncated), events);
  Emit(reasoning_.Finish(), events);
  if (!held_space_.empty() && !after_call_) {
    events.push_back({OutputKind::kContent, std::exchange(held_space_, std::string()), 0});
  }
  return events;
}

void OutputParser::Take(ToolCallParser::Result result, std::vector<OutputEvent>& events) {
  for (OutputEvent& event : result.events) {
    if (event.kind == OutputKind::kToolCallStart) {
      Emit(reasoning_.EndByToolCall(), events);
      held_space_.clear();
      held_tokens_ = 0;
      after_call_ = true;
    }
    events.push_back(std::move(event));
  }
  if (result.text.empty()) return;
  Emit(
      reasoning_.Append({PieceKind::kText, std::move(result.text), std::exchange(held_tokens_, 0)}),
      events);
}

void OutputParser::Emit(ReasoningParser::Split split, std::vector<OutputEvent>& events) {
  if (!split.reasoning.empty()) {
    events.push_back({OutputKind::kReasoning, std::move(split.reasoning), 0});
  }
  if (!split.content.empty()) EmitContent(split.content, events);
}

void OutputParser::EmitContent(const std::string& text, std::vector<OutputEvent>& events) {
  if (!parse_tool_calls_) {
    events.push_back({OutputKind::kContent, text, 0});
    return;
  }
  std::string all = std::exchange(held_space_, std::string()) + text;
  const size_t last = all.find_last_not_of(kSpace);
  if (last == std::string::npos) {
    held_space_ = std::move(all);
    return;
  }
  held_space_ = all.substr(last + 1);
  all.resize(last + 1);
  if (after_call_ && !any_content_) all.erase(0, all.find_first_not_of(kSpace));
  any_content_ = true;
  after_call_ = false;
  events.push_back({OutputKind::kContent, std::move(all), 0});
}

}  // namespace sluice::gateway
