// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/tool_call_parser.h"

#include <utility>

namespace sluice::gateway {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

void ToolCallParser::Open(std::string tag) {
  held_ = std::move(tag);
  state_ = State::kExpectObject;
  announced_ = false;
}

ToolCallParser::Result ToolCallParser::Append(const OutputPiece& piece) {
  Result result;
  // Inside a string literal every token is text: an argument may speak of tags.
  const bool is_text =
      piece.kind == PieceKind::kText || (state_ == State::kInObject && json_.InString());
  if (is_text) {
    for (const char c : piece.text) PushByte(c, result);
    if (active()) EmitArguments(result);
    return result;
  }
  if (state_ == State::kInObject) EndCall(/*truncated=*/false, result);
  const bool after_call = state_ == State::kAfterObject;
  if (state_ == State::kExpectObject) GiveUp(result);
  state_ = State::kIdle;
  // The closing tag of a call is used up; every other tag means something to the caller.
  result.consumed = after_call && piece.kind == PieceKind::kToolCallClose;
  return result;
}

void ToolCallParser::PushByte(char c, Result& result) {
  switch (state_) {
    case State::kIdle:
      result.text += c;
      break;
    case State::kExpectObject:
      if (c == '{') {
        BeginObject(result);
      } else {
        held_ += c;
        if (!IsSpace(c)) GiveUp(result);
      }
      break;
    case State::kInObject:
      PushObjectByte(c, result);
      break;
    case State::kAfterObject:
      PushAfterObject(c, result);
      break;
  }
}

void ToolCallParser::BeginObject(Result& result) {
  state_ = State::kInObject;
  json_ = ToolCallJson();
  announced_ = false;
  PushObjectByte('{', result);
}

void ToolCallParser::PushObjectByte(char c, Result& result) {
  if (!announced_) held_ += c;
  const ToolCallJson::State state = json_.Push(c);
  if (json_.committed()) Announce(result);
  if (state == ToolCallJson::State::kReading) return;
  if (!announced_) return GiveUp(result);
  EndCall(/*truncated=*/false, result);
  // A byte that the object cannot take stands behind it.
  if (state == ToolCallJson::State::kBad) PushAfterObject(c, result);
}

void ToolCallParser::PushAfterObject(char c, Result& result) {
  // One brace too many is a frequent slip, and harmless.
  if (IsSpace(c) || c == '}') return;
  if (c == '{') {
    held_.clear();
    return BeginObject(result);
  }
  state_ = State::kIdle;
  result.text += c;
}

void ToolCallParser::Announce(Result& result) {
  if (announced_) return;
  announced_ = true;
  held_.clear();
  result.events.push_back({OutputKind::kToolCallStart, json_.name(), num_calls_});
  ++num_calls_;
}

void ToolCallParser::EmitArguments(Result& result) {
  std::string fragment = json_.TakeArguments();
  if (fragment.empty()) return;
  result.events.push_back({OutputKind::kToolCallArguments, std::move(fragment), num_calls_ - 1});
}

void ToolCallParser::EndCall(bool truncated, Result& result) {
  if (!json_.Finish(truncated)) return GiveUp(result);
  Announce(result);
  EmitArguments(result);
  complete_ = complete_ && json_.arguments_complete();
  state_ = State::kAfterObject;
}

void ToolCallParser::GiveUp(Result& result) {
  result.text += std::exchange(held_, std::string());
  state_ = State::kIdle;
}

ToolCallParser::Result ToolCallParser::Finish(bool truncated) {
  Result result;
  if (state_ == State::kExpectObject) GiveUp(result);
  if (state_ == State::kInObject) EndCall(truncated, result);
  state_ = State::kIdle;
  return result;
}

}  // namespace sluice::gateway
