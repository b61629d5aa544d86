// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/python_repr.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

char ChooseQuote(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  return single && text.find('"') == std::string_view::npos ? '"' : '\'';
}

// What repr writes for a code point that it does not leave alone; empty for the others.
std::string EscapeOf(char32_t point, char quote) {
  switch (point) {
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  if (point == static_cast<char32_t>(quote)) return std::string("\\") + quote;
  if (IsPrintable(point)) return "";
  char buffer[16];
  const char* format = point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::snprintf(buffer, sizeof(buffer), format, static_cast<unsigned>(point));
  return buffer;
}

void AppendQuoted(const Text& text, Text* out) {
  const char quote = ChooseQuote(text.view());
  out->Append(std::string_view(&quote, 1), Origin::kUser);
  size_t plain = 0;  // start of the run that is copied as it is
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint point = DecodeAt(text.view(), pos);
    const std::string escape = EscapeOf(point.value, quote);
    if (!escape.empty()) {
      out->Append(text, plain, pos);
      out->Append(escape, text.OriginAt(pos));
      plain = pos + point.length;
    }
    pos += point.length;
  }
  out->Append(text, plain, text.size());
  out->Append(std::string_view(&quote, 1), Origin::kUser);
}

absl::Status AppendItems(const std::vector<Value>& items, Text* out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out->Append(", ", Origin::kUser);
    SLUICE_RETURN_IF_ERROR(AppendRepr(items[i], out));
  }
  return absl::OkStatus();
}

absl::Status AppendListRepr(const Value& value, Text* out) {
  const List& list = value.list();
  const char* open = "[";
  const char* close = "]";
  switch (list.type) {
    case List::Type::kList:
      break;
    case List::Type::kTuple:
      open = "(";
      close = list.items.size() == 1 ? ",)" : ")";
      break;
    case List::Type::kRange:
      return absl::InvalidArgumentError("a range cannot be printed; print its list");
    default:
      out->Append(TypeName(value), Origin::kUser);
      open = "([";
      close = "])";
  }
  out->Append(open, Origin::kUser);
  SLUICE_RETURN_IF_ERROR(AppendItems(list.items, out));
  out->Append(close, Origin::kUser);
  return absl::OkStatus();
}

absl::Status AppendDictRepr(const Dict& dict, Text* out) {
  out->Append("{", Origin::kUser);
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!first) out->Append(", ", Origin::kUser);
    first = false;
    SLUICE_RETURN_IF_ERROR(AppendRepr(key, out));
    out->Append(": ", Origin::kUser);
    SLUICE_RETURN_IF_ERROR(AppendRepr(value, out));
  }
  out->Append("}", Origin::kUser);
  return absl::OkStatus();
}

}  // namespace

std::string ReprFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view shortest(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = shortest.find('e');
  const int exponent = std::atoi(std::string(shortest.substr(e + 1)).c_str());
  std::string digits;
  for (const char c : shortest.substr(0, e)) {
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  std::string out = shortest[0] == '-' ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    std::snprintf(buffer, sizeof(buffer), "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return out + buffer;
  }
  const auto zeros = [](int number) { return std::string(static_cast<size_t>(number), '0'); };
  if (exponent < 0) return out + "0." + zeros(-exponent - 1) + digits;
  if (exponent + 1 >= count) {
    return out + digits + zeros(exponent + 1 - count) + ".0";
  }
  const size_t whole = static_cast<size_t>(exponent) + 1;
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string ReprString(std::string_view text) {
  Text out;
  AppendQuoted(Text(std::string(text), Origin::kUser), &out);
  return out.bytes();
}

absl::Status AppendText(const Value& value, Text* out) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return absl::OkStatus();
    case Kind::kString:
      out->Append(value.str().text);
      return absl::OkStatus();
    default:
      return AppendRepr(value, out);
  }
}

absl::StatusOr<Text> ToText(const Value& value) {
  if (value.is_string()) return value.str().text;
  Text out;
  SLUICE_RETURN_IF_ERROR(AppendText(value, &out));
  return out;
}

absl::Status AppendRepr(const Value& value, Text* out) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      out->Append("Undefined", Origin::kUser);
      return absl::OkStatus();
    case Kind::kNone:
      out->Append("None", Origin::kUser);
      return absl::OkStatus();
    case Kind::kBool:
      out->Append(value.bool_value() ? "True" : "False", Origin::kUser);
      return absl::OkStatus();
    case Kind::kInt:
      out->Append(std::to_string(value.int_value()), Origin::kUser);
      return absl::OkStatus();
    case Kind::kBigInt:
      out->Append(value.big_int().digits, Origin::kUser);
      return absl::OkStatus();
    case Kind::kFloat:
      out->Append(ReprFloat(value.float_value()), Origin::kUser);
      return absl::OkStatus();
    case Kind::kString:
      if (value.str().markup) out->Append("Markup(", Origin::kUser);
      AppendQuoted(value.str().text, out);
      if (value.str().markup) out->Append(")", Origin::kUser);
      return absl::OkStatus();
    case Kind::kList:
      return AppendListRepr(value, out);
    case Kind::kDict:
      return AppendDictRepr(value.dict(), out);
    case Kind::kObject:
      return absl::InvalidArgumentError(
          absl::StrCat("a ", TypeName(value), " object cannot be printed"));
  }
  return absl::OkStatus();
}

}  // namespace sluice::gateway::jinja
