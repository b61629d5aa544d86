// SPDX-License-Identifier: Apache-2.0
// Filters on strings and numbers, and tojson.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/filters.h"
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

using Args = const CallArgs&;

// markupsafe.soft_str: strings stay as they are, everything else becomes str.
absl::StatusOr<Value> SoftString(Runtime* runtime, const Value& input) {
  if (input.is_string()) return input;
  SLUICE_ASSIGN_OR_RETURN(Text text, ToText(input));
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(text.size()));
  return Value::String(std::move(text));
}

// A filter that is a str method without arguments.
template <const char* Method>
absl::StatusOr<Value> StringFilter(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments(Method, args, {}, 0).status());
  SLUICE_ASSIGN_OR_RETURN(const Value text, SoftString(runtime, input));
  return CallStringMethod(runtime, text, Method, {});
}

constexpr char kUpper[] = "upper";
constexpr char kLower[] = "lower";
constexpr char kCapitalize[] = "capitalize";

absl::StatusOr<Value> String(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("string", args, {}, 0).status());
  return SoftString(runtime, input);
}

absl::StatusOr<Value> Trim(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("trim", args, {"chars"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const Value text, SoftString(runtime, input));
  CallArgs strip;
  if (!bound[0].is_missing()) strip.positional.push_back(bound[0]);
  return CallStringMethod(runtime, text, "strip", strip);
}

absl::StatusOr<Value> Center(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("center", args, {"width"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const Value text, SoftString(runtime, input));
  CallArgs center;
  center.positional.push_back(bound[0].is_missing() ? Value::Int(80) : bound[0]);
  return CallStringMethod(runtime, text, "center", center);
}

absl::StatusOr<Value> ReplaceFilter(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("replace", args, {"old", "new", "count"}, 2));
  // str() of everything: markup becomes plain here.
  SLUICE_ASSIGN_OR_RETURN(Text text, ToText(input));
  CallArgs replace;
  for (size_t i = 0; i < 2; ++i) {
    SLUICE_ASSIGN_OR_RETURN(Text part, ToText(bound[i]));
    replace.positional.push_back(Value::String(std::move(part)));
  }
  if (!bound[2].is_missing() && !bound[2].is_none()) replace.positional.push_back(bound[2]);
  return CallStringMethod(runtime, Value::String(std::move(text)), "replace", replace);
}

bool IsWordBreak(char32_t point) {
  return IsSpace(point) || point == '-' || point == '(' || point == '{' || point == '[' ||
         point == '<';
}

// Unlike str.title, only white space and opening brackets start a word.
absl::StatusOr<Value> Title(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("title", args, {}, 0).status());
  SLUICE_ASSIGN_OR_RETURN(const Value value, SoftString(runtime, input));
  const Text& text = value.str().text;
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(text.size()));
  Text out;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint first = DecodeAt(text.view(), pos);
    const bool is_break = IsWordBreak(first.value);
    size_t end = pos + first.length;
    while (end < text.size()) {
      const CodePoint point = DecodeAt(text.view(), end);
      if (IsWordBreak(point.value) != is_break) break;
      end += point.length;
    }
    out.Append(ToUpper(text.Slice(pos, pos + first.length)));
    out.Append(ToLower(text.Slice(pos + first.length, end)));
    pos = end;
  }
  return Value::String(std::move(out));
}

absl::StatusOr<Value> Indent(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("indent", args, {"width", "first", "blank"}, 0));
  if (!input.is_string()) {
    if (input.is_undefined()) return absl::InvalidArgumentError(input.UndefinedMessage());
    return absl::InvalidArgumentError(
        absl::StrCat("indent: expected a string, not ", TypeName(input)));
  }
  Text indentation;
  if (bound[0].is_string()) {
    indentation = bound[0].str().text;
  } else {
    SLUICE_ASSIGN_OR_RETURN(const int64_t width, IntArgument("indent", "width", bound[0], 4));
    SLUICE_RETURN_IF_ERROR(
        runtime->budget.Allocate(static_cast<uint64_t>(std::max<int64_t>(width, 0))));
    indentation =
        Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), Origin::kUser);
  }
  SLUICE_ASSIGN_OR_RETURN(const bool first, BoolArgument(bound[1], false));
  SLUICE_ASSIGN_OR_RETURN(const bool blank, BoolArgument(bound[2], false));
  Text padded = input.str().text;
  padded.Append("\n", Origin::kUser);  // so that an ending newline keeps its (empty) line
  const std::vector<Text> lines = SplitLines(padded, false);
  SLUICE_RETURN_IF_ERROR(
      runtime->budget.Allocate(padded.size() + lines.size() * indentation.size()));
  Text out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n", Origin::kUser);
    if (i == 0 ? first : blank || !lines[i].empty()) out.Append(indentation);
    out.Append(lines[i]);
  }
  return Value::String(std::move(out), input.str().markup);
}

absl::StatusOr<Value> Truncate(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(
      const std::vector<Value> bound,
      BindArguments("truncate", args, {"length", "killwords", "end", "leeway"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const int64_t length, IntArgument("truncate", "length", bound[0], 255));
  SLUICE_ASSIGN_OR_RETURN(const bool kill_words, BoolArgument(bound[1], false));
  Value end = bound[2];
  if (end.is_missing()) end = Value::UserString("...");
  if (!end.is_string()) return absl::InvalidArgumentError("truncate: end must be a string");
  const Value leeway_value = bound[3].is_none() ? Value() : bound[3];
  SLUICE_ASSIGN_OR_RETURN(const int64_t leeway, IntArgument("truncate", "leeway", leeway_value, 5));
  const auto end_length = static_cast<int64_t>(end.str().length);
  if (length < end_length || leeway < 0) {
    return absl::InvalidArgumentError("truncate: the length leaves no room for the end");
  }
  SLUICE_ASSIGN_OR_RETURN(const int64_t input_length, Length(input));
  if (input_length <= length + leeway) return input;
  if (!input.is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("truncate: expected a string, not ", TypeName(input)));
  }
  const Text& text = input.str().text;
  const size_t keep = ByteOffset(text.view(), static_cast<size_t>(length - end_length));
  Text out = text.Slice(0, keep);
  if (!kill_words) out = SplitFromRight(out, " ", 1)[0];
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(out.size()));
  return Binary(BinaryOp::kAdd, Value::String(std::move(out), input.str().markup), end,
                &runtime->budget);
}

absl::StatusOr<Value> WordCount(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("wordcount", args, {}, 0).status());
  SLUICE_ASSIGN_OR_RETURN(const Value text, SoftString(runtime, input));
  int64_t words = 0;
  bool in_word = false;
  const std::string_view view = text.str().view();
  for (size_t pos = 0; pos < view.size();) {
    const CodePoint point = DecodeAt(view, pos);
    const bool is_word =
        point.value == '_' || IsAlpha(point.value) || IsNumericCategory(point.value);
    words += is_word && !in_word;
    in_word = is_word;
    pos += point.length;
  }
  return Value::Int(words);
}

absl::StatusOr<Value> Escape(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("escape", args, {}, 0).status());
  if (input.is_none()) return Value::String(Text("None", Origin::kUser), true);
  SLUICE_ASSIGN_OR_RETURN(const Value text, SoftString(runtime, input));
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(text.str().text.size() * 2));
  return EscapeHtml(text);
}

absl::StatusOr<Value> ForceEscape(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("forceescape", args, {}, 0).status());
  SLUICE_ASSIGN_OR_RETURN(Text text, ToText(input));
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(text.size() * 2));
  return EscapeHtml(Value::String(std::move(text)));
}

absl::StatusOr<Value> Safe(Runtime*, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("safe", args, {}, 0).status());
  SLUICE_ASSIGN_OR_RETURN(Text text, ToText(input));
  return Value::String(std::move(text), true);
}

absl::StatusOr<Value> Format(Runtime* runtime, const Value& input, Args args) {
  if (!args.positional.empty() && !args.keyword.empty()) {
    return absl::InvalidArgumentError("format: positional and named arguments cannot be mixed");
  }
  SLUICE_ASSIGN_OR_RETURN(const Value format, SoftString(runtime, input));
  if (args.keyword.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const Value tuple,
                            NewList(runtime, List::Type::kTuple, args.positional));
    return PercentFormat(format, tuple, &runtime->budget);
  }
  SLUICE_ASSIGN_OR_RETURN(const Value dict, NewDict(runtime, args.keyword));
  return PercentFormat(format, dict, &runtime->budget);
}

absl::StatusOr<Value> IntFilter(Runtime*, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("int", args, {"default", "base"}, 0));
  Value fallback = bound[0].is_missing() ? Value::Int(0) : bound[0];
  SLUICE_ASSIGN_OR_RETURN(const int64_t base, IntArgument("int", "base", bound[1], 10));
  if (input.is_undefined()) return absl::InvalidArgumentError(input.UndefinedMessage());
  if (input.is(Kind::kInt) || input.is(Kind::kBool) || input.is(Kind::kBigInt)) {
    return Positive(input);
  }
  if (input.is(Kind::kFloat)) {
    if (std::isinf(input.float_value())) {
      return absl::InvalidArgumentError("int: an infinite float has no integer");
    }
    return std::isnan(input.float_value()) ? fallback : IntegerPart(input.float_value());
  }
  if (!input.is_string()) return fallback;
  if (const std::optional<Value> value = IntFromText(input.str().view(), base)) return *value;
  const std::optional<double> real = FloatFromText(input.str().view());
  return real && std::isfinite(*real) ? IntegerPart(*real) : fallback;
}

absl::StatusOr<Value> FloatFilter(Runtime*, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("float", args, {"default"}, 0));
  if (input.is_undefined()) return absl::InvalidArgumentError(input.UndefinedMessage());
  if (const std::optional<double> real = AsDouble(input)) return Value::Float(*real);
  if (input.is(Kind::kBigInt)) {
    const double real = ParseDouble(input.big_int().digits);
    if (std::isinf(real)) return absl::InvalidArgumentError("float: the integer is too large");
    return Value::Float(real);
  }
  if (input.is_string()) {
    if (const std::optional<double> real = FloatFromText(input.str().view())) {
      return Value::Float(*real);
    }
  }
  return bound[0].is_missing() ? Value::Float(0.0) : bound[0];
}

absl::StatusOr<Value> RoundFilter(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("round", args, {"precision", "method"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const int64_t precision, IntArgument("round", "precision", bound[0], 0));
  std::string_view method = "common";
  if (!bound[1].is_missing()) {
    if (!bound[1].is_string()) return absl::InvalidArgumentError("round: method must be a string");
    method = bound[1].str().view();
  }
  if (method == "common") return Round(input, precision);
  if (method != "ceil" && method != "floor") {
    return absl::InvalidArgumentError("round: method must be common, ceil or floor");
  }
  Budget* budget = &runtime->budget;
  SLUICE_ASSIGN_OR_RETURN(const Value unit,
                          Binary(BinaryOp::kPow, Value::Int(10), Value::Int(precision), budget));
  SLUICE_ASSIGN_OR_RETURN(const Value scaled, Binary(BinaryOp::kMul, input, unit, budget));
  const std::optional<double> real = AsDouble(scaled);
  if (!real || !std::isfinite(*real)) {
    return absl::InvalidArgumentError(
        absl::StrCat("round: expected a finite number, not ", TypeName(input)));
  }
  const Value whole = scaled.is(Kind::kFloat)
                          ? IntegerPart(method == "ceil" ? std::ceil(*real) : std::floor(*real))
                          : scaled;
  return Binary(BinaryOp::kDiv, whole, unit, budget);
}

absl::StatusOr<Value> Abs(Runtime*, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("abs", args, {}, 0).status());
  if (input.is(Kind::kFloat)) return Value::Float(std::fabs(input.float_value()));
  if (const std::optional<int64_t> index = AsIndex(input)) {
    return *index < 0 ? Negate(input) : Positive(input);
  }
  if (input.is_undefined()) return absl::InvalidArgumentError(input.UndefinedMessage());
  if (input.is(Kind::kBigInt)) {
    const std::string& digits = input.big_int().digits;
    return ParseInteger(digits[0] == '-' ? digits.substr(1) : digits);
  }
  return absl::InvalidArgumentError(absl::StrCat("abs: expected a number, not ", TypeName(input)));
}

absl::Status ReadSeparators(const Value& value, JsonStyle* style) {
  if (value.is_missing() || value.is_none()) {
    if (style->indent) style->item_separator = Text(",", Origin::kUser);
    return absl::OkStatus();
  }
  const bool is_pair = value.is(Kind::kList) && value.list().items.size() == 2 &&
                       value.list().items[0].is_string() && value.list().items[1].is_string();
  if (!is_pair) return absl::InvalidArgumentError("tojson: separators must be two strings");
  style->item_separator = value.list().items[0].str().text;
  style->key_separator = value.list().items[1].str().text;
  return absl::OkStatus();
}

absl::StatusOr<Value> ToJson(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(
      const std::vector<Value> bound,
      BindArguments("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonStyle style;
  SLUICE_ASSIGN_OR_RETURN(style.ensure_ascii, BoolArgument(bound[0], false));
  if (bound[1].is_string()) {
    style.indent = bound[1].str().text;
  } else if (!bound[1].is_missing() && !bound[1].is_none()) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t width, IntArgument("tojson", "indent", bound[1], 0));
    constexpr int64_t kMaxWidth = 1000;
    if (width > kMaxWidth) return absl::InvalidArgumentError("tojson: the indent exceeds 1000");
    style.indent =
        Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), Origin::kUser);
  }
  SLUICE_RETURN_IF_ERROR(ReadSeparators(bound[2], &style));
  SLUICE_ASSIGN_OR_RETURN(style.sort_keys, BoolArgument(bound[3], false));
  Text out;
  SLUICE_RETURN_IF_ERROR(AppendJson(input, style, &out));
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(out.size()));
  return Value::String(std::move(out));
}

constexpr FilterSpec kFilters[] = {
    {"abs", Abs},
    {"capitalize", StringFilter<kCapitalize>},
    {"center", Center},
    {"e", Escape},
    {"escape", Escape},
    {"float", FloatFilter},
    {"forceescape", ForceEscape},
    {"format", Format},
    {"indent", Indent},
    {"int", IntFilter},
    {"lower", StringFilter<kLower>},
    {"replace", ReplaceFilter},
    {"round", RoundFilter},
    {"safe", Safe},
    {"string", String},
    {"title", Title},
    {"tojson", ToJson},
    {"trim", Trim},
    {"truncate", Truncate},
    {"upper", StringFilter<kUpper>},
    {"wordcount", WordCount},
};

}  // namespace

const FilterSpec* FindTextFilter(std::string_view name) {
  const auto* it = std::find_if(std::begin(kFilters), std::end(kFilters),
                                [&](const FilterSpec& spec) { return spec.name == name; });
  return it == std::end(kFilters) ? nullptr : it;
}

}  // namespace sluice::gateway::jinja
