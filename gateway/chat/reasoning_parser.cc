// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/reasoning_parser.h"

#include <string_view>
#include <utility>

namespace sluice::gateway {
namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";

bool IsSpace(std::string_view text) {
  return text.find_first_not_of(kSpace) == std::string_view::npos;
}

}  // namespace

PromptThinking FindPromptThinking(std::span<const int32_t> prompt_ids,
                                  std::optional<int32_t> think_open,
                                  std::optional<int32_t> think_close,
                                  const std::function<bool(int32_t)>& is_special) {
  PromptThinking prompt;
  for (size_t i = prompt_ids.size(); i-- > 0;) {
    const int32_t id = prompt_ids[i];
    if (think_open && id == *think_open) {
      prompt.state = Thinking::kOpen;
      prompt.ends_in_open_tag = i + 1 == prompt_ids.size();
      break;
    }
    if (think_close && id == *think_close) {
      prompt.state = Thinking::kClosed;
      break;
    }
    if (is_special(id)) break;
  }
  return prompt;
}

ReasoningParser::ReasoningParser(PromptThinking prompt, bool separate)
    : separate_(separate), state_(prompt.state), trim_first_newline_(prompt.ends_in_open_tag) {}

ReasoningParser::Split ReasoningParser::Append(const OutputPiece& piece) {
  switch (state_) {
    case Thinking::kUndecided:
      return Undecided(piece);
    case Thinking::kOpen:
      return Open(piece);
    case Thinking::kClosed:
      return Closed(piece);
  }
  return {};
}

ReasoningParser::Split ReasoningParser::Undecided(const OutputPiece& piece) {
  if (piece.kind == PieceKind::kThinkOpen) {
    state_ = Thinking::kOpen;
    trim_first_newline_ = true;
    if (!separate_) return {"", std::exchange(held_, "") + piece.text};
    held_.clear();
    return {};
  }
  if (piece.kind == PieceKind::kText && IsSpace(piece.text)) {
    held_ += piece.text;
    return {};
  }
  state_ = Thinking::kClosed;
  std::string before = std::exchange(held_, "");
  if (piece.kind == PieceKind::kThinkClose && separate_) before.clear();
  Split split = Closed(piece);
  split.content.insert(0, before);
  return split;
}

ReasoningParser::Split ReasoningParser::Open(const OutputPiece& piece) {
  if (piece.kind == PieceKind::kThinkClose) {
    Close();
    return separate_ ? Split{} : Split{"", piece.text};
  }
  reasoning_tokens_ += piece.kind == PieceKind::kThinkOpen ? 0 : piece.tokens;
  if (!separate_) return {"", piece.text};
  if (piece.text.empty()) return {};
  std::string text = std::exchange(held_, "") + piece.text;
  if (std::exchange(trim_first_newline_, false) && text.front() == '\n') text.erase(0, 1);
  if (!seen_reasoning_ && IsSpace(text)) {
    held_ = std::move(text);
    return {};
  }
  seen_reasoning_ = true;
  if (text.back() == '\n') {
    text.pop_back();
    held_ = "\n";
  }
  return {std::move(text), ""};
}

ReasoningParser::Split ReasoningParser::Closed(const OutputPiece& piece) {
  if (!separate_) return {"", piece.text};
  if (piece.kind == PieceKind::kThinkClose) {  // a second one, or one that was never opened
    trim_newlines_ = 2;
    return {};
  }
  std::string_view text = piece.text;
  while (trim_newlines_ > 0 && !text.empty()) {
    if (text.front() == '\n') {
      text.remove_prefix(1);
      --trim_newlines_;
    } else {
      trim_newlines_ = 0;
    }
  }
  return {"", std::string(text)};
}

void ReasoningParser::Close() {
  state_ = Thinking::kClosed;
  held_.clear();
  trim_newlines_ = 2;
}

ReasoningParser::Split ReasoningParser::EndByToolCall() {
  Split split;
  if (state_ == Thinking::kUndecided) split.content = std::exchange(held_, "");
  if (state_ != Thinking::kClosed) Close();
  trim_newlines_ = 0;
  return split;
}

ReasoningParser::Split ReasoningParser::Finish() {
  Split split;
  if (state_ == Thinking::kUndecided) split.content = std::exchange(held_, "");
  if (state_ == Thinking::kOpen && seen_reasoning_) split.reasoning = std::exchange(held_, "");
  return split;
}

}  // namespace sluice::gateway
