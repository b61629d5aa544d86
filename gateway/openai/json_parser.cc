// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/json_parser.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr size_t kMaxQuotedBytes = 60;  // of the client's text in our messages

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// Never cuts a character in two.
std::string_view Shortened(std::string_view text) {
  if (text.size() <= kMaxQuotedBytes) return text;
  size_t end = kMaxQuotedBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

absl::StatusOr<JsonDocument> JsonParser::Run() {
  if (text_.size() >= std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError("the body is not valid JSON: 4 GiB or more");
  }
  do {
    SkipSpace();
    SLUICE_RETURN_IF_ERROR(Step());
  } while (!open_.empty());
  SkipSpace();
  if (!AtEnd()) return Error("expected the end of the text");
  return std::move(document_);
}

absl::Status JsonParser::Step() {
  switch (expect_) {
    case Expect::kValueOrEnd:
      if (Peek() == ']') return Close();
      return Value();
    case Expect::kValue:
      return Value();
    case Expect::kKeyOrEnd:
      if (Peek() == '}') return Close();
      return Key();
    case Expect::kKey:
      return Key();
    case Expect::kCommaOrEnd:
      return CommaOrEnd();
  }
  return absl::OkStatus();
}

absl::Status JsonParser::Value() {
  switch (Peek()) {
    case '{':
      return Open(JsonType::kObject);
    case '[':
      return Open(JsonType::kArray);
    case '"':
      SLUICE_RETURN_IF_ERROR(String());
      ValueDone();
      return absl::OkStatus();
    case 't':
      return Literal("true", JsonType::kBool);
    case 'f':
      return Literal("false", JsonType::kBool);
    case 'n':
      return Literal("null", JsonType::kNull);
    default:
      if (Peek() == '-' || PeekDigit()) return Number();
      return Error("expected a value");
  }
}

absl::Status JsonParser::Open(JsonType type) {
  if (open_.size() >= static_cast<size_t>(limits_.depth)) {
    return Error(absl::StrCat("nested deeper than ", limits_.depth, " levels"));
  }
  SLUICE_RETURN_IF_ERROR(AddNode(type));
  open_.push_back(static_cast<uint32_t>(document_.nodes_.size() - 1));
  ++at_;
  expect_ = type == JsonType::kObject ? Expect::kKeyOrEnd : Expect::kValueOrEnd;
  return absl::OkStatus();
}

absl::Status JsonParser::Close() {
  ++at_;
  JsonDocument::Node& container = document_.nodes_[open_.back()];
  container.end = static_cast<uint32_t>(at_);
  container.after = static_cast<uint32_t>(document_.nodes_.size());
  if (container.type == JsonType::kObject) SLUICE_RETURN_IF_ERROR(CheckUniqueKeys(open_.back()));
  open_.pop_back();
  ValueDone();
  return absl::OkStatus();
}

absl::Status JsonParser::Key() {
  if (Peek() != '"') return Error("expected a key in double quotes");
  SLUICE_RETURN_IF_ERROR(String());
  SkipSpace();
  if (Peek() != ':') return Error("expected ':'");
  ++at_;
  expect_ = Expect::kValue;
  return absl::OkStatus();
}

absl::Status JsonParser::CommaOrEnd() {
  const bool in_object = InObject();
  if (Peek() == ',') {
    ++at_;
    expect_ = in_object ? Expect::kKey : Expect::kValue;
    return absl::OkStatus();
  }
  if (Peek() == (in_object ? '}' : ']')) return Close();
  return Error(in_object ? "expected ',' or '}'" : "expected ',' or ']'");
}

absl::Status JsonParser::String() {
  SLUICE_RETURN_IF_ERROR(AddNode(JsonType::kString));
  ++at_;
  while (true) {
    if (AtEnd()) return Error("a string without its closing quote");
    const unsigned char c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') break;
    if (c < 0x20) return Error("a control character inside a string (it must be escaped)");
    if (c == '\\') {
      SLUICE_RETURN_IF_ERROR(Escape());
    } else {
      ++at_;
    }
  }
  ++at_;
  document_.nodes_.back().end = static_cast<uint32_t>(at_);
  return absl::OkStatus();
}

absl::Status JsonParser::Escape() {
  ++at_;
  const char kind = Peek();
  if (AtEnd() || std::string_view("\"\\/bfnrtu").find(kind) == std::string_view::npos) {
    return Error("an unknown escape in a string");
  }
  ++at_;
  if (kind != 'u') return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const uint32_t unit, CodeUnit());
  if (unit >= 0xDC00 && unit < 0xE000) return Error("an unpaired surrogate in a string");
  if (unit < 0xD800 || unit >= 0xE000) return absl::OkStatus();
  if (text_.substr(at_, 2) != "\\u") return Error("an unpaired surrogate in a string");
  at_ += 2;
  SLUICE_ASSIGN_OR_RETURN(const uint32_t low, CodeUnit());
  if (low < 0xDC00 || low >= 0xE000) return Error("an unpaired surrogate in a string");
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> JsonParser::CodeUnit() {
  uint32_t unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = Peek();
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) return Error("expected four hexadecimal digits after \\u");
    unit = unit * 16 + static_cast<uint32_t>(digit);
    ++at_;
  }
  return unit;
}

absl::Status JsonParser::Number() {
  SLUICE_RETURN_IF_ERROR(AddNode(JsonType::kNumber));
  if (Peek() == '-') ++at_;
  if (!PeekDigit()) return Error("expected a digit");
  if (Peek() == '0') {
    ++at_;
    if (PeekDigit()) return Error("a number with a leading zero");
  }
  while (PeekDigit()) ++at_;
  if (Peek() == '.') {
    ++at_;
    if (!PeekDigit()) return Error("expected a digit after the decimal point");
    while (PeekDigit()) ++at_;
  }
  if (Peek() == 'e' || Peek() == 'E') {
    ++at_;
    if (Peek() == '+' || Peek() == '-') ++at_;
    if (!PeekDigit()) return Error("expected a digit in the exponent");
    while (PeekDigit()) ++at_;
  }
  document_.nodes_.back().end = static_cast<uint32_t>(at_);
  ValueDone();
  return absl::OkStatus();
}

absl::Status JsonParser::Literal(std::string_view word, JsonType type) {
  if (text_.substr(at_, word.size()) != word) return Error("expected a value");
  SLUICE_RETURN_IF_ERROR(AddNode(type));
  at_ += word.size();
  document_.nodes_.back().end = static_cast<uint32_t>(at_);
  ValueDone();
  return absl::OkStatus();
}

absl::Status JsonParser::CheckUniqueKeys(uint32_t object) const {
  const JsonValue value(&document_, object);
  if (value.size() < 2) return absl::OkStatus();
  std::vector<std::string> keys;
  keys.reserve(value.size());
  for (auto& [key, unused] : value.Members()) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end()) return absl::OkStatus();
  return Error(
      absl::StrCat("the key \"", View(Shortened(*twice)), "\" appears twice in one object"));
}

absl::Status JsonParser::Error(std::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat("the body is not valid JSON: ", View(what), " at byte ", at_));
}

absl::Status JsonParser::AddNode(JsonType type) {
  if (document_.nodes_.size() >= limits_.values) {
    return Error(absl::StrCat("more than ", limits_.values, " values"));
  }
  const auto at = static_cast<uint32_t>(at_);
  const auto after = static_cast<uint32_t>(document_.nodes_.size() + 1);
  document_.nodes_.push_back({type, at, at, after, 0});
  return absl::OkStatus();
}

void JsonParser::ValueDone() {
  if (open_.empty()) return;
  ++document_.nodes_[open_.back()].size;
  expect_ = Expect::kCommaOrEnd;
}

void JsonParser::SkipSpace() {
  while (!AtEnd() &&
         (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
    ++at_;
  }
}

bool JsonParser::InObject() const {
  return document_.nodes_[open_.back()].type == JsonType::kObject;
}

}  // namespace sluice::gateway
