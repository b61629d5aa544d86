// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/byte_scan.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

constexpr size_t kMaxIntegerDigits = 4300;  // sys.get_int_max_str_digits()

bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  Parser(std::string_view text, Origin origin) : text_(text), origin_(origin) {}

  absl::StatusOr<Value> Parse() {
    const size_t invalid = FindInvalidUtf8(text_);
    if (invalid != std::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("invalid UTF-8 at byte ", invalid));
    }
    SLUICE_ASSIGN_OR_RETURN(Value value, ParseValue(0));
    SkipSpace();
    if (pos_ != text_.size()) return Error("unexpected text after the value");
    return value;
  }

 private:
  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("invalid JSON at byte ", pos_, ": ",
                                                   absl::string_view(what.data(), what.size())));
  }

  void SkipSpace() {
    while (pos_ < text_.size() && (text_[pos_] == ' ' || text_[pos_] == '\n' ||
                                   text_[pos_] == '\r' || text_[pos_] == '\t')) {
      ++pos_;
    }
  }

  bool Consume(std::string_view word) {
    if (text_.substr(pos_, word.size()) != word) return false;
    pos_ += word.size();
    return true;
  }

  absl::StatusOr<Value> ParseValue(uint32_t depth) {
    SkipSpace();
    if (pos_ == text_.size()) return Error("the text ends where a value should be");
    switch (text_[pos_]) {
      case '{':
      case '[':
        if (depth >= kMaxContainerDepth) {
          return Error(absl::StrCat("nested deeper than ", kMaxContainerDepth, " levels"));
        }
        return text_[pos_] == '{' ? ParseObject(depth) : ParseArray(depth);
      case '"':
        return ParseString();
      case 't':
        if (Consume("true")) return Value::Bool(true);
        break;
      case 'f':
        if (Consume("false")) return Value::Bool(false);
        break;
      case 'n':
        if (Consume("null")) return Value::None();
        break;
      case 'N':
        if (Consume("NaN")) return Value::Float(std::numeric_limits<double>::quiet_NaN());
        break;
      case 'I':
        if (Consume("Infinity")) return Value::Float(std::numeric_limits<double>::infinity());
        break;
      default:
        return ParseNumber();
    }
    return Error("not a value");
  }

  absl::StatusOr<Value> ParseObject(uint32_t depth) {
    ++pos_;
    std::vector<Dict::Entry> entries;
    SkipSpace();
    if (Consume("}")) return MakeDict({});
    while (true) {
      SkipSpace();
      if (pos_ == text_.size() || text_[pos_] != '"') return Error("expected a name in quotes");
      SLUICE_ASSIGN_OR_RETURN(Value key, ParseString());
      SkipSpace();
      if (!Consume(":")) return Error("expected ':'");
      SLUICE_ASSIGN_OR_RETURN(Value value, ParseValue(depth + 1));
      entries.emplace_back(std::move(key), std::move(value));
      SkipSpace();
      if (Consume("}")) return MakeDict(std::move(entries));
      if (!Consume(",")) return Error("expected ',' or '}'");
    }
  }

  absl::StatusOr<Value> ParseArray(uint32_t depth) {
    ++pos_;
    std::vector<Value> items;
    SkipSpace();
    if (Consume("]")) return MakeList(List::Type::kList, {});
    while (true) {
      SLUICE_ASSIGN_OR_RETURN(Value value, ParseValue(depth + 1));
      items.push_back(std::move(value));
      SkipSpace();
      if (Consume("]")) return MakeList(List::Type::kList, std::move(items));
      if (!Consume(",")) return Error("expected ',' or ']'");
    }
  }

  absl::StatusOr<Value> ParseString() {
    ++pos_;
    std::string bytes;
    while (true) {
      const size_t begin = pos_;
      pos_ = SkipPlainJson(text_, pos_);
      bytes.append(text_, begin, pos_ - begin);
      if (pos_ == text_.size()) return Error("the text ends inside a string");
      if (text_[pos_] == '"') break;
      if (text_[pos_] != '\\') return Error("a control character inside a string");
      SLUICE_RETURN_IF_ERROR(ParseEscape(&bytes));
    }
    ++pos_;
    return Value::String(Text(std::move(bytes), origin_));
  }

  absl::Status ParseEscape(std::string* bytes) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (pos_ + 1 >= text_.size()) return Error("the text ends inside a string");
    const char name = text_[pos_ + 1];
    if (name != 'u') {
      const size_t index = kNames.find(name);
      if (index == std::string_view::npos) return Error("unknown escape in a string");
      bytes->push_back(kMeanings[index]);
      pos_ += 2;
      return absl::OkStatus();
    }
    int unit = HexUnit(pos_ + 2);
    if (unit < 0) return Error("\\u without four hexadecimal digits");
    auto point = static_cast<char32_t>(unit);
    size_t length = 6;
    if (point >= 0xd800 && point < 0xdc00 && text_.substr(pos_ + 6, 2) == "\\u") {
      unit = HexUnit(pos_ + 8);
      if (unit >= 0xdc00 && unit < 0xe000) {
        point = 0x10000 + ((point - 0xd800) << 10) + (static_cast<char32_t>(unit) - 0xdc00);
        length = 12;
      }
    }
    if (point >= 0xd800 && point < 0xe000) {
      return Error("a lone surrogate escape (\\ud800 to \\udfff), which is not Unicode text");
    }
    AppendUtf8(point, bytes);
    pos_ += length;
    return absl::OkStatus();
  }

  // The four hexadecimal digits at `at`, or -1.
  int HexUnit(size_t at) const {
    if (at + 4 > text_.size()) return -1;
    unsigned value = 0;
    const char* begin = text_.data() + at;
    const auto result = std::from_chars(begin, begin + 4, value, 16);
    return result.ptr == begin + 4 ? static_cast<int>(value) : -1;
  }

  absl::StatusOr<Value> ParseNumber() {
    const size_t begin = pos_;
    if (Consume("-Infinity")) return Value::Float(-std::numeric_limits<double>::infinity());
    size_t pos = pos_;
    const auto digits = [&] {
      const size_t from = pos;
      while (pos < text_.size() && IsAsciiDigit(text_[pos])) ++pos;
      return pos > from;
    };
    if (text_[pos] == '-') ++pos;
    if (pos < text_.size() && text_[pos] == '0') {
      ++pos;
    } else if (!digits()) {
      return Error("not a value");
    }
    bool is_float = false;
    if (pos + 1 < text_.size() && text_[pos] == '.' && IsAsciiDigit(text_[pos + 1])) {
      ++pos;
      is_float = digits();
    }
    if (pos < text_.size() && (text_[pos] == 'e' || text_[pos] == 'E')) {
      const size_t mark = pos++;
      if (pos < text_.size() && (text_[pos] == '+' || text_[pos] == '-')) ++pos;
      if (digits()) {
        is_float = true;
      } else {
        pos = mark;  // what follows the number is then an error of its own
      }
    }
    const std::string_view literal = text_.substr(begin, pos - begin);
    if (is_float) {
      pos_ = pos;
      return Value::Float(ParseDouble(literal));
    }
    absl::StatusOr<Value> integer = ParseInteger(literal);
    if (!integer.ok()) return Error(std::string(integer.status().message()));
    pos_ = pos;
    return integer;
  }

  const std::string_view text_;
  const Origin origin_;
  size_t pos_ = 0;
};

}  // namespace

absl::StatusOr<Value> ParseJson(std::string_view text, Origin origin) {
  return Parser(text, origin).Parse();
}

absl::StatusOr<Value> ParseInteger(std::string_view digits) {
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  if (std::from_chars(digits.data(), end, value).ec == std::errc()) return Value::Int(value);
  const bool negative = digits.front() == '-';
  std::string_view magnitude = digits.substr(negative ? 1 : 0);
  if (magnitude.size() > kMaxIntegerDigits) {
    return absl::InvalidArgumentError("an integer of more than 4300 digits");
  }
  while (magnitude.size() > 1 && magnitude.front() == '0') magnitude.remove_prefix(1);
  std::string canonical = (negative ? "-" : "") + std::string(magnitude);
  return Value::FromCounted(Kind::kBigInt, new BigInt(std::move(canonical)));
}

double ParseDouble(std::string_view literal) {
  double value = 0;
  const char* end = literal.data() + literal.size();
  if (std::from_chars(literal.data(), end, value).ec == std::errc()) return value;
  // Out of range: infinite or zero, which the position of the first digit that counts tells apart.
  const bool negative = literal.front() == '-';
  const size_t e = literal.find_first_of("eE");
  long long exponent = 0;
  if (e != std::string_view::npos) {
    const size_t start = e + 1 + (literal[e + 1] == '+' ? 1 : 0);
    const auto result = std::from_chars(literal.data() + start, end, exponent);
    if (result.ec != std::errc()) exponent = literal[e + 1] == '-' ? -1000000000 : 1000000000;
  }
  const std::string_view mantissa = literal.substr(0, std::min(e, literal.size()));
  const size_t first = mantissa.find_first_of("123456789");
  const size_t dot = std::min(mantissa.find('.'), mantissa.size());
  const long long lead =
      first < dot ? static_cast<long long>(dot - first) : -static_cast<long long>(first - dot);
  const double magnitude = lead + exponent > 0 ? std::numeric_limits<double>::infinity() : 0.0;
  return negative ? -magnitude : magnitude;
}

}  // namespace sluice::gateway::jinja
