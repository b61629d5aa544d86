// SPDX-License-Identifier: Apache-2.0
// ToolCallParser: the Hermes form <tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>, as
// it streams. A call is announced as soon as its name is known and its arguments begin; arguments
// go out as they come, so joined fragments are the arguments and nothing waits for the end. What
// turns out to be no call (a tag quoted in prose, text without a name) is given back as text. Not
// thread safe; one per choice.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/chat/output_piece.h"
#include "gateway/chat/tool_call_json.h"

namespace sluice::gateway {

class ToolCallParser {
 public:
  struct Result {
    std::vector<OutputEvent> events;  // of calls; they come before `text`
    std::string text;                 // not part of a call after all, or behind one
    // False: the piece was not looked at and is still the caller's, after `text`. Control tokens
    // only.
    bool consumed = true;
  };

  // Whether pieces belong here: from an opening tag until it is clear where its call ends.
  bool active() const { return state_ != State::kIdle; }
  // Whether the call at hand was announced (active() only).
  bool announced() const { return announced_; }

  // An opening tag. REQUIRES: !active().
  void Open(std::string tag);
  // REQUIRES: active().
  Result Append(const OutputPiece& piece);
  // No more pieces. `truncated`: the model was cut off, it did not stop.
  Result Finish(bool truncated);

  int num_calls() const { return num_calls_; }
  // Every call has all of its arguments.
  bool complete() const { return complete_; }

 private:
  enum class State {
    kIdle,
    kExpectObject,  // after the tag: white space, then '{', or it was prose
    kInObject,
    kAfterObject,  // white space, the closing tag, or another object
  };

  void PushByte(char c, Result& result);
  void PushObjectByte(char c, Result& result);
  void PushAfterObject(char c, Result& result);
  void BeginObject(Result& result);
  void EmitArguments(Result& result);
  void Announce(Result& result);
  void EndCall(bool truncated, Result& result);
  void GiveUp(Result& result);

  State state_ = State::kIdle;
  std::string held_;  // what to give back if this is no call
  ToolCallJson json_;
  bool announced_ = false;
  int num_calls_ = 0;
  bool complete_ = true;
};

}  // namespace sluice::gateway
