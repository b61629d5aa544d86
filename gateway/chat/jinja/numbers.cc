// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/numbers.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/text_ops.h"
#include "gateway/chat/jinja/unicode.h"

namespace sluice::gateway::jinja {
namespace {

// The text without surrounding white space, its digits of any script as ASCII ones.
std::string ToAsciiNumber(std::string_view text) {
  const Text stripped = Strip(Text(std::string(text), Origin::kUser), std::nullopt, kStripBoth);
  std::string out;
  for (size_t pos = 0; pos < stripped.size();) {
    const CodePoint point = DecodeAt(stripped.view(), pos);
    const int digit = DecimalValue(point.value);
    if (digit >= 0) {
      out.push_back(static_cast<char>('0' + digit));
    } else {
      AppendUtf8(point.value, &out);
    }
    pos += point.length;
  }
  return out;
}

// Drops underscores between digits; false where one stands elsewhere. `is_digit` says what a digit
// is.
template <typename IsDigitFn>
bool DropUnderscores(std::string* text, IsDigitFn is_digit, bool may_lead) {
  std::string out;
  for (size_t i = 0; i < text->size(); ++i) {
    if ((*text)[i] != '_') {
      out.push_back((*text)[i]);
      continue;
    }
    const bool after_digit = i > 0 ? is_digit((*text)[i - 1]) : may_lead;
    if (!after_digit || i + 1 == text->size() || !is_digit((*text)[i + 1])) return false;
  }
  *text = std::move(out);
  return true;
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 36;
}

bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<Value> IntFromText(std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  std::string digits = ToAsciiNumber(text);
  const bool negative = !digits.empty() && digits[0] == '-';
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.erase(0, 1);
  bool has_prefix = false;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    const int64_t prefix_base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (prefix_base != 0 && (base == 0 || base == prefix_base)) {
      base = prefix_base;
      digits.erase(0, 2);
      has_prefix = true;
    }
  }
  const bool guessed = base == 0;
  if (guessed) base = 10;
  const auto is_digit = [&](char c) { return DigitValue(c) < base; };
  if (!DropUnderscores(&digits, is_digit, has_prefix) || digits.empty()) return std::nullopt;
  for (const char c : digits) {
    if (!is_digit(c)) return std::nullopt;
  }
  // With base 0 a decimal may not start with a zero, unless it is all zeros.
  if (guessed && digits[0] == '0' && digits.find_first_not_of('0') != std::string::npos) {
    return std::nullopt;
  }
  if (base == 10) {
    absl::StatusOr<Value> value = ParseInteger((negative ? "-" : "") + digits);
    return value.ok() ? std::optional<Value>(*std::move(value)) : std::nullopt;
  }
  int64_t value = 0;
  const std::string literal = (negative ? "-" : "") + digits;
  const char* end = literal.data() + literal.size();
  const auto result = std::from_chars(literal.data(), end, value, static_cast<int>(base));
  return result.ec == std::errc() ? std::optional<Value>(Value::Int(value)) : std::nullopt;
}

std::optional<double> FloatFromText(std::string_view text) {
  std::string number = ToAsciiNumber(text);
  if (!DropUnderscores(&number, IsAsciiDigit, false)) return std::nullopt;
  std::string_view body = number;
  const bool negative = body.starts_with('-');
  if (negative || body.starts_with('+')) body.remove_prefix(1);
  const std::string word = absl::AsciiStrToLower(absl::string_view(body.data(), body.size()));
  const double sign = negative ? -1.0 : 1.0;
  if (word == "inf" || word == "infinity") return sign * std::numeric_limits<double>::infinity();
  if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
  size_t pos = 0;
  size_t mantissa_digits = 0;
  const auto digits = [&] {
    const size_t begin = pos;
    while (pos < body.size() && IsAsciiDigit(body[pos])) ++pos;
    return pos - begin;
  };
  mantissa_digits += digits();
  if (pos < body.size() && body[pos] == '.') {
    ++pos;
    mantissa_digits += digits();
  }
  if (mantissa_digits == 0) return std::nullopt;
  if (pos < body.size() && (body[pos] == 'e' || body[pos] == 'E')) {
    ++pos;
    if (pos < body.size() && (body[pos] == '+' || body[pos] == '-')) ++pos;
    if (digits() == 0) return std::nullopt;
  }
  if (pos != body.size()) return std::nullopt;
  return sign * ParseDouble(body);
}

Value IntegerPart(double real) {
  const double whole = std::trunc(real);
  if (whole >= -0x1p63 && whole < 0x1p63) return Value::Int(static_cast<int64_t>(whole));
  char buffer[400];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), whole, std::chars_format::fixed);
  return *ParseInteger(std::string_view(buffer, static_cast<size_t>(end.ptr - buffer)));
}

absl::StatusOr<Value> Round(const Value& value, int64_t digits) {
  if (const std::optional<int64_t> index = AsIndex(value)) {
    if (digits >= 0) return Value::Int(*index);
    if (digits < -18) return Value::Int(0);
    int64_t unit = 1;
    for (int64_t i = 0; i < -digits; ++i) unit *= 10;
    int64_t quotient = *index / unit;
    const int64_t twice = 2 * std::abs(*index % unit);
    if (twice > unit || (twice == unit && quotient % 2 != 0)) quotient += *index < 0 ? -1 : 1;
    int64_t result = 0;
    if (__builtin_mul_overflow(quotient, unit, &result)) {
      return absl::InvalidArgumentError("round: the result leaves 64 bits");
    }
    return Value::Int(result);
  }
  if (value.is(Kind::kBigInt) && digits >= 0) return value;
  if (!value.is(Kind::kFloat)) {
    if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
    return absl::InvalidArgumentError(
        absl::StrCat("round: expected a number, not ", TypeName(value)));
  }
  const double real = value.float_value();
  if (!std::isfinite(real) || digits > 323) return value;
  if (digits < -308) return Value::Float(std::copysign(0.0, real));
  if (digits < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-digits));
    return Value::Float(std::nearbyint(real / unit) * unit);
  }
  // printf rounds the exact binary value half to even, which is what Python does.
  char buffer[700];
  const int length = std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), real);
  return Value::Float(ParseDouble(std::string_view(buffer, static_cast<size_t>(length))));
}

}  // namespace sluice::gateway::jinja
