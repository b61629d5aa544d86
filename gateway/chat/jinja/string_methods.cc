// SPDX-License-Identifier: Apache-2.0
// Methods of str.
#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/methods.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/text_ops.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

using Args = const CallArgs&;

absl::Status WantString(const char* method, const Value& value) {
  if (value.is_string()) return absl::OkStatus();
  if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
  return absl::InvalidArgumentError(
      absl::StrCat("str.", method, ": expected a string, not ", TypeName(value)));
}

// A string like `self`: markup stays markup.
absl::StatusOr<Value> Like(Runtime* runtime, const Value& self, Text text) {
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(sizeof(Str) + text.size()));
  return Value::String(std::move(text), self.str().markup);
}

absl::StatusOr<Value> ListLike(Runtime* runtime, const Value& self, std::vector<Text> texts,
                               List::Type type = List::Type::kList) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (Text& text : texts) {
    SLUICE_ASSIGN_OR_RETURN(Value item, Like(runtime, self, std::move(text)));
    items.push_back(std::move(item));
  }
  return NewList(runtime, type, std::move(items));
}

template <Text (*Map)(const Text&)>
absl::StatusOr<Value> MapCase(Runtime* runtime, const Value& self, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("str method", args, {}, 0).status());
  return Like(runtime, self, Map(self.str().text));
}

template <StripSides Sides>
absl::StatusOr<Value> StripMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.strip", args, {nullptr}, 0));
  std::optional<std::string_view> chars;
  if (!bound[0].is_missing() && !bound[0].is_none()) {
    SLUICE_RETURN_IF_ERROR(WantString("strip", bound[0]));
    chars = bound[0].str().view();
  }
  return Like(runtime, self, Strip(self.str().text, chars, Sides));
}

template <bool FromRight>
absl::StatusOr<Value> SplitMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.split", args, {"sep", "maxsplit"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const int64_t max, IntArgument("str.split", "maxsplit", bound[1], -1));
  const Text& text = self.str().text;
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(text.size()));
  if (bound[0].is_missing() || bound[0].is_none()) {
    return ListLike(runtime, self,
                    FromRight ? SplitSpaceFromRight(text, max) : SplitSpace(text, max));
  }
  SLUICE_RETURN_IF_ERROR(WantString("split", bound[0]));
  const std::string_view separator = bound[0].str().view();
  if (separator.empty()) return absl::InvalidArgumentError("str.split: empty separator");
  return ListLike(runtime, self,
                  FromRight ? SplitFromRight(text, separator, max) : Split(text, separator, max));
}

absl::StatusOr<Value> SplitLinesMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.splitlines", args, {"keepends"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const bool keep, BoolArgument(bound[0], false));
  return ListLike(runtime, self, SplitLines(self.str().text, keep));
}

template <bool FromRight>
absl::StatusOr<Value> PartitionMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.partition", args, {nullptr}, 1));
  SLUICE_RETURN_IF_ERROR(WantString("partition", bound[0]));
  const std::string_view separator = bound[0].str().view();
  if (separator.empty()) return absl::InvalidArgumentError("str.partition: empty separator");
  const Text& text = self.str().text;
  const size_t pos = FromRight ? text.view().rfind(separator) : text.view().find(separator);
  std::vector<Text> parts(3);
  if (pos == std::string_view::npos) {
    parts[FromRight ? 2 : 0] = text;
  } else {
    parts[0] = text.Slice(0, pos);
    parts[1] = text.Slice(pos, pos + separator.size());
    parts[2] = text.Slice(pos + separator.size(), text.size());
  }
  return ListLike(runtime, self, std::move(parts), List::Type::kTuple);
}

absl::StatusOr<Value> ReplaceMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.replace", args, {nullptr, nullptr, nullptr}, 2));
  SLUICE_RETURN_IF_ERROR(WantString("replace", bound[0]));
  SLUICE_RETURN_IF_ERROR(WantString("replace", bound[1]));
  SLUICE_ASSIGN_OR_RETURN(const int64_t count, IntArgument("str.replace", "count", bound[2], -1));
  const Text& text = self.str().text;
  const std::string_view from = bound[0].str().view();
  const Value to = self.str().markup ? EscapeHtml(bound[1]) : bound[1];
  // The result may be far longer than the text, so its size is known before it is made.
  int64_t occurrences = CountOccurrences(text.view(), from);
  if (count >= 0) occurrences = std::min(occurrences, count);
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(text.size() + static_cast<uint64_t>(occurrences) *
                                                                    to.str().text.size()));
  return Like(runtime, self, Replace(text, from, to.str().text, count));
}

absl::StatusOr<Value> JoinMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.join", args, {nullptr}, 1));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(bound[0], &runtime->budget));
  std::vector<Text> parts;
  uint64_t size = 0;
  for (const Value& item : items) {
    SLUICE_RETURN_IF_ERROR(WantString("join", item));
    parts.push_back((self.str().markup ? EscapeHtml(item) : item).str().text);
    size += parts.back().size() + self.str().text.size();
    if (size > runtime->budget.limits().max_allocated_bytes) break;
  }
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(size));
  return Like(runtime, self, Join(self.str().text, parts));
}

// The part of the string that the optional start and end of find, count and startswith select, in
// bytes. Nothing where start lies beyond the end of the string or of the range, so that not even an
// empty string is found.
struct Window {
  size_t begin = 0;
  size_t end = 0;
  int64_t first_point = 0;
};

absl::StatusOr<std::optional<Window>> SelectWindow(const char* method, const Str& str,
                                                   const Value& start, const Value& end) {
  const auto length = static_cast<int64_t>(str.length);
  const auto resolve = [&](const Value& bound, int64_t fallback) -> absl::StatusOr<int64_t> {
    if (bound.is_none()) return fallback;
    SLUICE_ASSIGN_OR_RETURN(const int64_t index, IntArgument(method, "bound", bound, fallback));
    return index < 0 ? std::max<int64_t>(index + length, 0) : index;
  };
  SLUICE_ASSIGN_OR_RETURN(const int64_t first, resolve(start, 0));
  SLUICE_ASSIGN_OR_RETURN(int64_t last, resolve(end, length));
  last = std::min(last, length);
  if (first > last) return std::optional<Window>();
  return std::optional<Window>(Window{ByteOffset(str.view(), static_cast<size_t>(first)),
                                      ByteOffset(str.view(), static_cast<size_t>(last)), first});
}

template <bool AtEnd>
absl::StatusOr<Value> AffixMethod(Runtime*, const Value& self, Args args) {
  const char* method = AtEnd ? "endswith" : "startswith";
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments(method, args, {nullptr, nullptr, nullptr}, 1));
  std::vector<Value> affixes;
  if (bound[0].is(Kind::kList) && bound[0].list().type == List::Type::kTuple) {
    affixes = bound[0].list().items;
  } else {
    affixes.push_back(bound[0]);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Window> window,
                          SelectWindow(method, self.str(), bound[1], bound[2]));
  for (const Value& affix : affixes) {
    SLUICE_RETURN_IF_ERROR(WantString(method, affix));
    if (!window) continue;
    const std::string_view text =
        self.str().view().substr(window->begin, window->end - window->begin);
    const std::string_view part = affix.str().view();
    if (AtEnd ? text.ends_with(part) : text.starts_with(part)) return Value::Bool(true);
  }
  return Value::Bool(false);
}

template <bool FromRight, bool Raises>
absl::StatusOr<Value> FindMethodOf(Runtime*, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.find", args, {nullptr, nullptr, nullptr}, 1));
  SLUICE_RETURN_IF_ERROR(WantString("find", bound[0]));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Window> window,
                          SelectWindow("str.find", self.str(), bound[1], bound[2]));
  if (window) {
    const std::string_view text =
        self.str().view().substr(window->begin, window->end - window->begin);
    const std::string_view part = bound[0].str().view();
    const size_t pos = FromRight ? text.rfind(part) : text.find(part);
    if (pos != std::string_view::npos) {
      return Value::Int(window->first_point +
                        static_cast<int64_t>(CountCodePoints(text.substr(0, pos))));
    }
  }
  if (Raises) return absl::InvalidArgumentError("str.index: substring not found");
  return Value::Int(-1);
}

absl::StatusOr<Value> CountMethod(Runtime*, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.count", args, {nullptr, nullptr, nullptr}, 1));
  SLUICE_RETURN_IF_ERROR(WantString("count", bound[0]));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Window> window,
                          SelectWindow("str.count", self.str(), bound[1], bound[2]));
  if (!window) return Value::Int(0);
  return Value::Int(CountOccurrences(
      self.str().view().substr(window->begin, window->end - window->begin), bound[0].str().view()));
}

template <bool Suffix>
absl::StatusOr<Value> RemoveAffixMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.removeprefix", args, {nullptr}, 1));
  SLUICE_RETURN_IF_ERROR(WantString("removeprefix", bound[0]));
  const std::string_view affix = bound[0].str().view();
  const Text& text = self.str().text;
  const bool there = Suffix ? text.view().ends_with(affix) : text.view().starts_with(affix);
  if (!there || affix.empty()) return Like(runtime, self, text);
  return Like(
      runtime, self,
      Suffix ? text.Slice(0, text.size() - affix.size()) : text.Slice(affix.size(), text.size()));
}

enum class Align { kLeft, kRight, kCenter };

template <Align Alignment>
absl::StatusOr<Value> PadMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.center", args, {nullptr, nullptr}, 1));
  SLUICE_ASSIGN_OR_RETURN(const int64_t width, IntArgument("str.center", "width", bound[0], 0));
  Text fill(" ", Origin::kUser);
  if (!bound[1].is_missing()) {
    SLUICE_RETURN_IF_ERROR(WantString("center", bound[1]));
    if (bound[1].str().length != 1) {
      return absl::InvalidArgumentError("str.center: the fill must be one character");
    }
    fill = bound[1].str().text;
  }
  const int64_t padding = width - static_cast<int64_t>(self.str().length);
  if (padding <= 0) return Like(runtime, self, self.str().text);
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(static_cast<uint64_t>(padding) * fill.size()));
  int64_t left = Alignment == Align::kRight ? padding : 0;
  // CPython puts the odd column of an odd width on the left.
  if (Alignment == Align::kCenter) left = padding / 2 + (padding & width & 1);
  return Like(runtime, self, Pad(self.str().text, left, padding - left, fill));
}

absl::StatusOr<Value> ZeroFillMethod(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("str.zfill", args, {nullptr}, 1));
  SLUICE_ASSIGN_OR_RETURN(const int64_t width, IntArgument("str.zfill", "width", bound[0], 0));
  const int64_t padding = width - static_cast<int64_t>(self.str().length);
  if (padding <= 0) return Like(runtime, self, self.str().text);
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(static_cast<uint64_t>(padding)));
  const Text& text = self.str().text;
  const bool is_signed = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  const size_t sign = is_signed ? 1 : 0;
  Text out = text.Slice(0, sign);
  out.Append(std::string(static_cast<size_t>(padding), '0'), Origin::kUser);
  out.Append(text, sign, text.size());
  return Like(runtime, self, std::move(out));
}

// True where the string is not empty and all its code points are of the kind.
template <bool (*Predicate)(char32_t)>
absl::StatusOr<Value> AllAre(Runtime*, const Value& self, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("str method", args, {}, 0).status());
  const std::string_view text = self.str().view();
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint point = DecodeAt(text, pos);
    if (!Predicate(point.value)) return Value::Bool(false);
    pos += point.length;
  }
  return Value::Bool(!text.empty());
}

bool IsAlphaNumeric(char32_t point) { return IsAlpha(point) || IsNumericCategory(point); }

absl::StatusOr<Value> IsAsciiMethod(Runtime*, const Value& self, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("str.isascii", args, {}, 0).status());
  return Value::Bool(self.str().ascii());
}

template <bool Upper>
absl::StatusOr<Value> IsCaseMethod(Runtime*, const Value& self, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("str.isupper", args, {}, 0).status());
  const std::string_view text = self.str().view();
  bool any = false;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint point = DecodeAt(text, pos);
    if ((Upper ? IsLower(point.value) : IsUpper(point.value)) || IsTitle(point.value)) {
      return Value::Bool(false);
    }
    any |= Upper ? IsUpper(point.value) : IsLower(point.value);
    pos += point.length;
  }
  return Value::Bool(any);
}

constexpr MethodSpec kMethods[] = {
    {"capitalize", MapCase<ToCapitalized>},
    {"center", PadMethod<Align::kCenter>},
    {"count", CountMethod},
    {"endswith", AffixMethod<true>},
    {"find", FindMethodOf<false, false>},
    {"format", FormatBraces},
    {"index", FindMethodOf<false, true>},
    {"isalnum", AllAre<IsAlphaNumeric>},
    {"isalpha", AllAre<IsAlpha>},
    {"isascii", IsAsciiMethod},
    {"isdecimal", AllAre<IsDecimal>},
    {"isdigit", AllAre<IsDigit>},
    {"islower", IsCaseMethod<false>},
    {"isspace", AllAre<IsSpace>},
    {"isupper", IsCaseMethod<true>},
    {"join", JoinMethod},
    {"ljust", PadMethod<Align::kLeft>},
    {"lower", MapCase<ToLower>},
    {"lstrip", StripMethod<kStripLeft>},
    {"partition", PartitionMethod<false>},
    {"removeprefix", RemoveAffixMethod<false>},
    {"removesuffix", RemoveAffixMethod<true>},
    {"replace", ReplaceMethod},
    {"rfind", FindMethodOf<true, false>},
    {"rindex", FindMethodOf<true, true>},
    {"rjust", PadMethod<Align::kRight>},
    {"rpartition", PartitionMethod<true>},
    {"rsplit", SplitMethod<true>},
    {"rstrip", StripMethod<kStripRight>},
    {"split", SplitMethod<false>},
    {"splitlines", SplitLinesMethod},
    {"startswith", AffixMethod<false>},
    {"strip", StripMethod<kStripBoth>},
    {"swapcase", MapCase<ToSwappedCase>},
    {"title", MapCase<ToTitle>},
    {"upper", MapCase<ToUpper>},
    {"zfill", ZeroFillMethod},
};

}  // namespace

const MethodSpec* FindStringMethod(std::string_view name) {
  const auto* it = std::lower_bound(
      std::begin(kMethods), std::end(kMethods), name,
      [](const MethodSpec& spec, std::string_view key) { return spec.name < key; });
  return it != std::end(kMethods) && it->name == name ? it : nullptr;
}

absl::StatusOr<Value> CallStringMethod(Runtime* runtime, const Value& self, std::string_view name,
                                       const CallArgs& args) {
  return FindStringMethod(name)->call(runtime, self, args);
}

}  // namespace sluice::gateway::jinja
