// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/tool_call_json.h"

#include <utility>

namespace sluice::gateway {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Utf8(unsigned code) {
  std::string out;
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
  return out;
}

// JSON's spelling of a control character inside a string.
std::string EscapedControl(char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return std::string("\\u00") + kHex[(c >> 4) & 0xF] + kHex[c & 0xF];
  }
}

}  // namespace

ToolCallJson::State ToolCallJson::Push(char c) {
  if (state_ != State::kReading) return state_;
  switch (where_) {
    case Where::kInKey:
    case Where::kInName:
    case Where::kInString:
      PushStringByte(c);
      break;
    case Where::kInNested:
      PushNestedByte(c);
      break;
    case Where::kInScalar:
      PushScalarByte(c);
      break;
    default:
      if (!IsSpace(c)) PushStructure(c);
  }
  return state_;
}

void ToolCallJson::PushStructure(char c) {
  if ((where_ == Where::kStart && c == '{') || (where_ == Where::kAfterValue && c == ',')) {
    where_ = Where::kKeyOrEnd;
  } else if (where_ == Where::kKeyOrEnd && c == '"') {
    BeginString(Where::kInKey);
  } else if (where_ == Where::kColon && c == ':') {
    where_ = Where::kValue;
  } else if (where_ == Where::kValue) {
    BeginValue(c);
  } else if ((where_ == Where::kAfterValue || where_ == Where::kKeyOrEnd) && c == '}') {
    EndObject();
  } else {
    state_ = State::kBad;
  }
}

void ToolCallJson::BeginValue(char c) {
  if (key_ == "name" && !name_known_) {
    if (c == '"') {
      BeginString(Where::kInName);
    } else {
      state_ = State::kBad;
    }
    return;
  }
  if (key_ == "arguments" && arguments_ == Arguments::kNone) {
    arguments_ = Arguments::kReading;
    committed_ = name_known_;
  }
  if (c == '"') {
    BeginString(Where::kInString);
  } else if (c == '{' || c == '[') {
    where_ = Where::kInNested;
    depth_ = 0;
    PushNestedByte(c);
  } else {
    where_ = Where::kInScalar;
    scalar_.clear();
    PushScalarByte(c);
  }
}

void ToolCallJson::BeginString(Where where) {
  where_ = where;
  decoded_.clear();
}

void ToolCallJson::PushStringByte(char c) {
  if (hex_left_ > 0) return PushHexDigit(c);
  if (escaped_) return PushEscapedByte(c);
  if (c == '\\') {
    escaped_ = true;
    return;
  }
  FlushSurrogate();
  if (c == '"') return EndString();
  Decoded(std::string_view(&c, 1));
}

void ToolCallJson::PushEscapedByte(char c) {
  escaped_ = false;
  if (c == 'u') {
    hex_left_ = 4;
    hex_ = 0;
    return;
  }
  FlushSurrogate();
  switch (c) {
    case 'b':
      return Decoded("\b");
    case 'f':
      return Decoded("\f");
    case 'n':
      return Decoded("\n");
    case 'r':
      return Decoded("\r");
    case 't':
      return Decoded("\t");
    default:
      return Decoded(std::string_view(&c, 1));
  }
}

void ToolCallJson::PushHexDigit(char c) {
  const int digit = HexValue(c);
  if (digit < 0) {  // not an escape after all; the byte itself still counts
    hex_left_ = 0;
    high_surrogate_ = 0;
    Decoded(kReplacement);
    return PushStringByte(c);
  }
  hex_ = hex_ * 16 + static_cast<unsigned>(digit);
  if (--hex_left_ == 0) CodeUnit(hex_);
}

void ToolCallJson::CodeUnit(unsigned unit) {
  if (unit >= 0xDC00 && unit < 0xE000 && high_surrogate_ != 0) {
    const unsigned code = 0x10000 + ((high_surrogate_ - 0xD800) << 10) + (unit - 0xDC00);
    high_surrogate_ = 0;
    return Decoded(Utf8(code));
  }
  FlushSurrogate();
  if (unit >= 0xD800 && unit < 0xDC00) {
    high_surrogate_ = unit;
  } else {
    Decoded(unit >= 0xDC00 && unit < 0xE000 ? std::string(kReplacement) : Utf8(unit));
  }
}

void ToolCallJson::FlushSurrogate() {
  if (std::exchange(high_surrogate_, 0u) != 0) Decoded(kReplacement);
}

void ToolCallJson::Decoded(std::string_view bytes) {
  if (where_ == Where::kInString) {
    Pass(bytes);
  } else {
    decoded_ += bytes;
  }
}

void ToolCallJson::EndString() {
  if (where_ == Where::kInKey) {
    key_ = std::move(decoded_);
    where_ = Where::kColon;
    return;
  }
  if (where_ == Where::kInName) {
    name_ = std::move(decoded_);
    name_known_ = !name_.empty();
    if (!name_known_) state_ = State::kBad;
  }
  EndValue();
}

void ToolCallJson::PushNestedByte(char c) {
  if (nested_string_) {
    if (static_cast<unsigned char>(c) < 0x20) {
      Pass(EscapedControl(c));
    } else {
      Pass(std::string_view(&c, 1));
    }
    if (nested_escaped_) {
      nested_escaped_ = false;
    } else if (c == '\\') {
      nested_escaped_ = true;
    } else if (c == '"') {
      nested_string_ = false;
    }
    return;
  }
  Pass(std::string_view(&c, 1));
  if (c == '"') nested_string_ = true;
  if (c == '{' || c == '[') ++depth_;
  if ((c == '}' || c == ']') && --depth_ == 0) EndValue();
}

void ToolCallJson::PushScalarByte(char c) {
  if (c != ',' && c != '}' && !IsSpace(c)) {
    scalar_ += c;
    return;
  }
  EndScalar();
  if (!IsSpace(c)) PushStructure(c);
}

void ToolCallJson::EndScalar() {
  if (scalar_.empty()) {  // "arguments": , or "arguments": }
    state_ = State::kBad;
    return;
  }
  if (scalar_ != "null") Pass(scalar_);
  EndValue();
}

void ToolCallJson::EndValue() {
  if (arguments_ == Arguments::kReading) {
    arguments_ = Arguments::kComplete;
    // null and "" are how models spell no arguments; a client parses what it gets.
    if (!any_arguments_) fragment_ = "{}";
  }
  if (state_ == State::kReading && name_known_ && arguments_ != Arguments::kNone) committed_ = true;
  where_ = Where::kAfterValue;
}

void ToolCallJson::EndObject() {
  if (!name_known_) {
    state_ = State::kBad;
    return;
  }
  if (arguments_ == Arguments::kNone) {
    fragment_ = "{}";
    arguments_ = Arguments::kComplete;
  }
  committed_ = true;
  state_ = State::kDone;
}

bool ToolCallJson::Finish(bool truncated) {
  if (state_ != State::kReading) return committed_;
  if (where_ == Where::kInScalar) EndScalar();
  if (!name_known_ || state_ == State::kBad) {
    state_ = State::kBad;
    return committed_;
  }
  if (arguments_ == Arguments::kNone && !truncated) {
    fragment_ = "{}";
    arguments_ = Arguments::kComplete;
  }
  committed_ = true;
  state_ = State::kDone;
  return true;
}

bool ToolCallJson::InString() const {
  return where_ == Where::kInKey || where_ == Where::kInName || where_ == Where::kInString ||
         (where_ == Where::kInNested && nested_string_);
}

void ToolCallJson::Pass(std::string_view bytes) {
  if (arguments_ != Arguments::kReading) return;
  fragment_ += bytes;
  any_arguments_ = true;
}

std::string ToolCallJson::TakeArguments() {
  return committed_ ? std::exchange(fragment_, std::string()) : std::string();
}

}  // namespace sluice::gateway
