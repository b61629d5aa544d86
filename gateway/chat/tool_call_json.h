// SPDX-License-Identifier: Apache-2.0
// ToolCallJson: reads one {"name": ..., "arguments": ...} as it is being written, byte by byte, and
// gives the arguments out as they come. The arguments' text is passed on as the model wrote it;
// only what could never be JSON (a raw control character inside a string) is escaped. Private to
// the tool-call parser; not thread safe.
#pragma once

#include <string>
#include <string_view>

namespace sluice::gateway {

class ToolCallJson {
 public:
  enum class State {
    kReading,
    kDone,  // the object's closing brace was read
    kBad,   // not a call; see committed()
  };

  // The first byte must be '{'.
  State Push(char c);

  // No more bytes: what is there must do. False when it is no call (no name). `truncated`: the
  // model was cut off, so missing arguments are not replaced by {}.
  bool Finish(bool truncated);

  State state() const { return state_; }
  // The name is known and its arguments have begun: from here on it is a call, whatever follows.
  bool committed() const { return committed_; }
  // The arguments are all there.
  bool arguments_complete() const { return arguments_ == Arguments::kComplete; }
  // Inside a string literal, where any token is text.
  bool InString() const;
  const std::string& name() const { return name_; }

  // Arguments since the last call. Nothing before committed().
  std::string TakeArguments();

 private:
  enum class Where {
    kStart,
    kKeyOrEnd,
    kInKey,
    kColon,
    kValue,
    kInName,
    kInString,
    kInNested,
    kInScalar,
    kAfterValue
  };
  enum class Arguments { kNone, kReading, kComplete };

  void PushStructure(char c);
  void BeginValue(char c);
  void BeginString(Where where);
  void PushStringByte(char c);
  void PushEscapedByte(char c);
  void PushHexDigit(char c);
  void PushNestedByte(char c);
  void PushScalarByte(char c);
  void EndString();
  void EndScalar();
  void EndValue();
  void EndObject();
  void Decoded(std::string_view bytes);
  void CodeUnit(unsigned unit);
  void FlushSurrogate();
  void Pass(std::string_view bytes);

  State state_ = State::kReading;
  Where where_ = Where::kStart;
  bool committed_ = false;
  bool name_known_ = false;
  Arguments arguments_ = Arguments::kNone;
  std::string key_;
  std::string name_;
  std::string fragment_;  // arguments not taken yet
  bool any_arguments_ = false;

  // Inside a string that is decoded (a key, the name, arguments written as a string).
  bool escaped_ = false;
  int hex_left_ = 0;
  unsigned hex_ = 0;
  unsigned high_surrogate_ = 0;
  std::string decoded_;

  // Inside a value that is passed through.
  int depth_ = 0;
  bool nested_string_ = false;
  bool nested_escaped_ = false;
  std::string scalar_;
};

}  // namespace sluice::gateway
