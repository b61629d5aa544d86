// SPDX-License-Identifier: Apache-2.0
// One value laid out by a format specification, and str.format around it.
#include <cmath>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/attributes.h"
#include "gateway/chat/jinja/format.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/methods.h"
#include "gateway/chat/jinja/numbers.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/text_ops.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

constexpr int64_t kMaxPrecision = 1000;
constexpr int64_t kMaxWidth = 1 << 20;

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }
bool IsDigitChar(char c) { return c >= '0' && c <= '9'; }

absl::Status BadSpec() {
  return absl::InvalidArgumentError("format: invalid format specification");
}

absl::StatusOr<int64_t> ReadNumber(std::string_view spec, size_t* pos) {
  int64_t value = 0;
  while (*pos < spec.size() && IsDigitChar(spec[*pos])) {
    value = value * 10 + (spec[*pos] - '0');
    if (value > kMaxWidth) return absl::InvalidArgumentError("format: a width above 1048576");
    ++*pos;
  }
  return value;
}

std::string Print(const char* conversion, int64_t precision, bool alternate, double real) {
  const std::string format = std::string("%") + (alternate ? "#" : "") + ".*" + conversion;
  char buffer[1500];
  const int length =
      std::snprintf(buffer, sizeof(buffer), format.c_str(), static_cast<int>(precision), real);
  return std::string(buffer, static_cast<size_t>(length));
}

// A float without a type but with a precision: shortest of its significant digits, and never
// without a point.
std::string PrintGeneral(double real, int64_t precision) {
  const int64_t digits = precision == 0 ? 1 : precision;
  std::string text = Print("g", digits, false, real);
  if (text.find_first_of(".e") != std::string::npos) return text;
  const auto count = static_cast<int64_t>(text.size() - (text[0] == '-' ? 1 : 0));
  if (count < digits) return text + ".0";
  text = Print("e", digits - 1, false, real);
  const size_t e = text.find('e');
  size_t end = e;
  if (text.find('.') != std::string::npos) {
    while (text[end - 1] == '0') --end;
    if (text[end - 1] == '.') --end;
  }
  return text.substr(0, end) + text.substr(e);
}

absl::StatusOr<std::string> PrintFloat(double real, const FormatSpec& spec) {
  if (spec.precision > kMaxPrecision) {
    return absl::InvalidArgumentError("format: a precision above 1000");
  }
  const bool upper = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  const char* suffix = spec.type == '%' ? "%" : "";
  if (!std::isfinite(real)) {
    const std::string word = ReprFloat(real);
    if (!upper) return word + suffix;
    return std::string(std::isnan(real) ? "NAN" : real < 0 ? "-INF" : "INF");
  }
  const int64_t precision = spec.precision < 0 ? 6 : spec.precision;
  switch (spec.type) {
    case '\0':
      return spec.precision < 0 ? ReprFloat(real) : PrintGeneral(real, precision);
    case '%':
      return Print("f", precision, spec.alternate, real * 100) + suffix;
    case 'n':
      return Print("g", precision, spec.alternate, real);
    default: {
      const char conversion[] = {spec.type, '\0'};
      return Print(conversion, precision, spec.alternate, real);
    }
  }
}

std::string PrintRadix(int64_t value, const FormatSpec& spec) {
  const unsigned radix = spec.type == 'b' ? 2 : spec.type == 'o' ? 8 : 16;
  const char* digits = spec.type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string out;
  do {
    out.insert(out.begin(), digits[magnitude % radix]);
    magnitude /= radix;
  } while (magnitude > 0);
  if (spec.alternate) out = std::string("0") + spec.type + out;
  return (value < 0 ? "-" : "") + out;
}

void GroupDigits(char separator, std::string* number) {
  size_t begin = 0;
  while (begin < number->size() && !IsDigitChar((*number)[begin])) ++begin;
  size_t end = begin;
  while (end < number->size() && IsDigitChar((*number)[end])) ++end;
  for (size_t pos = end; pos > begin + 3;) {
    pos -= 3;
    number->insert(pos, 1, separator);
  }
}

bool IsFloatType(char type) {
  return std::string_view("eEfFgG%").find(type) != std::string_view::npos && type != '\0';
}

}  // namespace

absl::StatusOr<FormatSpec> ParseFormatSpec(const Text& text) {
  FormatSpec spec;
  const std::string_view view = text.view();
  size_t pos = 0;
  if (!view.empty()) {
    const size_t length = DecodeAt(view, 0).length;
    if (length < view.size() && IsAlign(view[length])) {
      spec.fill = text.Slice(0, length);
      spec.align = view[length];
      pos = length + 1;
    } else if (IsAlign(view[0])) {
      spec.align = view[0];
      pos = 1;
    }
  }
  const auto take = [&](std::string_view choices) {
    if (pos < view.size() && choices.find(view[pos]) != std::string_view::npos) return view[pos++];
    return '\0';
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != '\0';
  spec.zero = take("0") != '\0';
  SLUICE_ASSIGN_OR_RETURN(spec.width, ReadNumber(view, &pos));
  spec.grouping = take(",_");
  if (take(".") != '\0') {
    if (pos == view.size() || !IsDigitChar(view[pos])) return BadSpec();
    SLUICE_ASSIGN_OR_RETURN(spec.precision, ReadNumber(view, &pos));
  }
  if (pos < view.size()) spec.type = view[pos++];
  if (pos != view.size()) return BadSpec();
  if (spec.zero && spec.grouping != '\0' && spec.width > 0) {
    return absl::InvalidArgumentError("format: zero padding with grouping is not supported");
  }
  return spec;
}

absl::StatusOr<std::string> FormatNumber(const Value& value, const FormatSpec& spec) {
  std::string out;
  if (value.is(Kind::kFloat) || IsFloatType(spec.type)) {
    const bool known = spec.type == '\0' || spec.type == 'n' || IsFloatType(spec.type);
    if (!known) {
      return absl::InvalidArgumentError(
          absl::StrCat("format: a float cannot be formatted as '", std::string(1, spec.type), "'"));
    }
    const double real =
        value.is(Kind::kBigInt) ? ParseDouble(value.big_int().digits) : *AsDouble(value);
    SLUICE_ASSIGN_OR_RETURN(out, PrintFloat(real, spec));
  } else if (spec.type == '\0' || spec.type == 'd' || spec.type == 'n') {
    out = value.is(Kind::kBigInt) ? value.big_int().digits : std::to_string(*AsIndex(value));
  } else if (std::string_view("boxX").find(spec.type) != std::string_view::npos &&
             !value.is(Kind::kBigInt)) {
    out = PrintRadix(*AsIndex(value), spec);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("format: an int cannot be formatted as '", std::string(1, spec.type), "'"));
  }
  if (spec.grouping != '\0') GroupDigits(spec.grouping, &out);
  if (spec.sign != '-' && out[0] != '-') out.insert(out.begin(), spec.sign);
  return out;
}

absl::StatusOr<Text> PadTo(const Text& text, const FormatSpec& spec, bool number, Budget* budget) {
  const int64_t padding = spec.width - static_cast<int64_t>(CountCodePoints(text.view()));
  if (padding <= 0) return text;
  SLUICE_RETURN_IF_ERROR(budget->Allocate(static_cast<uint64_t>(padding) * spec.fill.size()));
  char align = spec.align;
  Text fill = spec.fill;
  if (spec.zero && align == '\0') {
    align = number ? '=' : '<';
    fill = Text("0", Origin::kUser);
  }
  if (align == '\0') align = number ? '>' : '<';
  if (align == '=') {
    size_t prefix = 0;
    const std::string_view view = text.view();
    if (!view.empty() && (view[0] == '-' || view[0] == '+' || view[0] == ' ')) prefix = 1;
    if (spec.alternate && view.size() > prefix + 1 && view[prefix] == '0' &&
        !IsDigitChar(view[prefix + 1]) && view[prefix + 1] != '.') {
      prefix += 2;
    }
    Text out = text.Slice(0, prefix);
    out.Append(Pad(text.Slice(prefix, text.size()), padding, 0, fill));
    return out;
  }
  const int64_t left = align == '>' ? padding : align == '^' ? padding / 2 : 0;
  return Pad(text, left, padding - left, fill);
}

absl::StatusOr<Text> FormatOne(const Value& value, const FormatSpec& spec, bool spec_is_empty,
                               Budget* budget) {
  if (spec_is_empty) return ToText(value);
  if (value.is_string()) {
    const bool plain = (spec.type == '\0' || spec.type == 's') && spec.align != '=' &&
                       spec.sign == '-' && !spec.alternate && spec.grouping == '\0';
    if (!plain) return absl::InvalidArgumentError("format: not a specification for strings");
    const Text& text = value.str().text;
    const size_t keep = spec.precision < 0
                            ? text.size()
                            : ByteOffset(text.view(), static_cast<size_t>(spec.precision));
    return PadTo(text.Slice(0, keep), spec, false, budget);
  }
  const bool is_number = value.is(Kind::kInt) || value.is(Kind::kBool) || value.is(Kind::kFloat) ||
                         value.is(Kind::kBigInt);
  if (!is_number) {
    if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
    return absl::InvalidArgumentError(
        absl::StrCat("format: a ", TypeName(value), " takes no format specification"));
  }
  if (!value.is(Kind::kFloat) && !IsFloatType(spec.type) && spec.precision >= 0) {
    return absl::InvalidArgumentError("format: an int takes no precision");
  }
  if (spec.type == 'c') {
    const int64_t point = AsIndex(value).value_or(-1);
    if (point < 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
      return absl::InvalidArgumentError("format: not the number of a character");
    }
    std::string character;
    AppendUtf8(static_cast<char32_t>(point), &character);
    return PadTo(Text(std::move(character), Origin::kUser), spec, false, budget);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string number, FormatNumber(value, spec));
  return PadTo(Text(number, Origin::kUser), spec, true, budget);
}

namespace {

// str.format: walks the format string and its replacement fields. Markup escapes what it fills in
// (markupsafe.EscapeFormatter), nested specifications too.
class BraceFormatter {
 public:
  BraceFormatter(Runtime* runtime, const CallArgs& args, bool markup)
      : runtime_(runtime), args_(args), markup_(markup) {}

  absl::StatusOr<Text> Run(const Text& format, int depth) {
    if (depth > 2) return absl::InvalidArgumentError("format: fields are nested too deeply");
    Text out;
    const std::string_view view = format.view();
    for (size_t pos = 0; pos < view.size();) {
      const size_t brace = view.find_first_of("{}", pos);
      if (brace == std::string_view::npos) {
        out.Append(format, pos, view.size());
        break;
      }
      out.Append(format, pos, brace);
      if (brace + 1 < view.size() && view[brace + 1] == view[brace]) {
        out.Append(format, brace, brace + 1);
        pos = brace + 2;
        continue;
      }
      if (view[brace] == '}') {
        return absl::InvalidArgumentError("format: a single '}' in the format string");
      }
      SLUICE_ASSIGN_OR_RETURN(const size_t end, FieldEnd(view, brace));
      SLUICE_ASSIGN_OR_RETURN(const Text field, Field(format.Slice(brace + 1, end), depth));
      SLUICE_RETURN_IF_ERROR(runtime_->budget.Allocate(field.size()));
      out.Append(field);
      pos = end + 1;
    }
    return out;
  }

 private:
  // The position of the brace that closes the field opened at `open`.
  static absl::StatusOr<size_t> FieldEnd(std::string_view view, size_t open) {
    int level = 0;
    for (size_t pos = open; pos < view.size(); ++pos) {
      if (view[pos] == '{') ++level;
      if (view[pos] == '}' && --level == 0) return pos;
    }
    return absl::InvalidArgumentError("format: a '{' is not closed");
  }

  absl::StatusOr<Text> Field(const Text& field, int depth) {
    const std::string_view view = field.view();
    size_t name_end = 0;
    bool in_brackets = false;
    while (name_end < view.size() &&
           (in_brackets || (view[name_end] != '!' && view[name_end] != ':'))) {
      if (view[name_end] == '[') in_brackets = true;
      if (view[name_end] == ']') in_brackets = false;
      ++name_end;
    }
    SLUICE_ASSIGN_OR_RETURN(Value value, Lookup(field.Slice(0, name_end)));
    size_t pos = name_end;
    if (pos < view.size() && view[pos] == '!') {
      const char conversion = pos + 1 < view.size() ? view[pos + 1] : '\0';
      if (conversion != 'r' && conversion != 's') {
        return absl::InvalidArgumentError("format: unknown conversion; use !r or !s");
      }
      Text text;
      SLUICE_RETURN_IF_ERROR(conversion == 'r' ? AppendRepr(value, &text)
                                               : AppendText(value, &text));
      value = Value::String(std::move(text));
      pos += 2;
      if (pos < view.size() && view[pos] != ':') {
        return absl::InvalidArgumentError("format: expected ':' after the conversion");
      }
    }
    Text spec_text;
    if (pos < view.size()) {
      SLUICE_ASSIGN_OR_RETURN(spec_text, Run(field.Slice(pos + 1, view.size()), depth + 1));
    }
    if (markup_ && value.is_string() && value.str().markup) {
      if (spec_text.empty()) return value.str().text;
      return absl::InvalidArgumentError("format: escaped strings take no format specification");
    }
    SLUICE_ASSIGN_OR_RETURN(const FormatSpec spec, ParseFormatSpec(spec_text));
    SLUICE_ASSIGN_OR_RETURN(Text text,
                            FormatOne(value, spec, spec_text.empty(), &runtime_->budget));
    return markup_ ? EscapeHtml(Value::String(std::move(text))).str().text : text;
  }

  absl::StatusOr<Value> Argument(std::string_view name) {
    if (name.empty()) {
      if (numbering_ == Numbering::kManual) return MixedNumbering();
      numbering_ = Numbering::kAutomatic;
      if (next_ >= args_.positional.size()) return OutOfRange();
      return args_.positional[next_++];
    }
    if (name.find_first_not_of("0123456789") == std::string_view::npos) {
      if (numbering_ == Numbering::kAutomatic) return MixedNumbering();
      numbering_ = Numbering::kManual;
      SLUICE_ASSIGN_OR_RETURN(const Value index, ParseInteger(name));
      const auto position = static_cast<uint64_t>(AsIndex(index).value_or(INT64_MAX));
      if (position >= args_.positional.size()) return OutOfRange();
      return args_.positional[position];
    }
    for (const auto& [key, value] : args_.keyword) {
      if (key.str().view() == name) return value;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("format: no argument '", std::string(name), "'"));
  }

  static absl::Status MixedNumbering() {
    return absl::InvalidArgumentError("format: {} and {0} cannot be mixed");
  }
  static absl::Status OutOfRange() {
    return absl::InvalidArgumentError("format: more fields than arguments");
  }

  // name, then .attribute and [item] steps.
  absl::StatusOr<Value> Lookup(const Text& path) {
    const std::string_view view = path.view();
    size_t pos = std::min(view.find_first_of(".["), view.size());
    SLUICE_ASSIGN_OR_RETURN(Value value, Argument(view.substr(0, pos)));
    while (pos < view.size()) {
      const bool is_item = view[pos] == '[';
      const size_t begin = pos + 1;
      const size_t end =
          is_item ? view.find(']', begin) : std::min(view.find_first_of(".[", begin), view.size());
      if (end == std::string_view::npos || end == begin) {
        return absl::InvalidArgumentError("format: empty attribute in a field");
      }
      const Value name = Value::String(path.Slice(begin, end));
      if (is_item) {
        const bool number =
            name.str().view().find_first_not_of("0123456789") == std::string_view::npos;
        Value key = name;
        if (number) {
          SLUICE_ASSIGN_OR_RETURN(key, ParseInteger(name.str().view()));
        }
        SLUICE_ASSIGN_OR_RETURN(value, GetItem(runtime_, value, key));
        if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
      } else {
        SLUICE_ASSIGN_OR_RETURN(value, GetAttribute(runtime_, value, name));
      }
      pos = is_item ? end + 1 : end;
      if (is_item && pos < view.size() && view[pos] != '.' && view[pos] != '[') {
        return absl::InvalidArgumentError("format: only '.' or '[' may follow ']'");
      }
    }
    return value;
  }

  enum class Numbering { kNone, kAutomatic, kManual };

  Runtime* runtime_;
  const CallArgs& args_;
  const bool markup_;
  Numbering numbering_ = Numbering::kNone;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<Value> FormatBraces(Runtime* runtime, const Value& self, const CallArgs& args) {
  const bool markup = self.str().markup;
  SLUICE_ASSIGN_OR_RETURN(Text text, BraceFormatter(runtime, args, markup).Run(self.str().text, 0));
  return Value::String(std::move(text), markup);
}

}  // namespace sluice::gateway::jinja
