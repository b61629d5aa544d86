// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/object.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

absl::Status NotComparable(const Value& a, const Value& b) {
  if (a.is_undefined()) return absl::InvalidArgumentError(a.UndefinedMessage());
  if (b.is_undefined()) return absl::InvalidArgumentError(b.UndefinedMessage());
  if (IsSetLike(a) && IsSetLike(b)) {
    return absl::InvalidArgumentError(
        absl::StrCat(TypeName(a), " are ordered as sets, and templates here have no sets"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cannot compare ", TypeName(a), " and ", TypeName(b)));
}

bool IsNumber(const Value& value) {
  return value.is(Kind::kInt) || value.is(Kind::kFloat) || value.is(Kind::kBool) ||
         value.is(Kind::kBigInt);
}

// Exact for 64-bit integers, since long double has their precision; the nearest for larger ones.
long double AsLongDouble(const Value& value) {
  if (value.is(Kind::kFloat)) return value.float_value();
  if (value.is(Kind::kBigInt)) return ParseDouble(value.big_int().digits);
  return AsIndex(value).value_or(0);
}

bool BigIntLess(const std::string& a, const std::string& b) {
  const bool negative_a = a.front() == '-';
  const bool negative_b = b.front() == '-';
  if (negative_a != negative_b) return negative_a;
  const bool less = a.size() != b.size() ? a.size() < b.size() : a < b;
  return negative_a ? !less && a != b : less;
}

bool NumberLess(const Value& a, const Value& b) {
  if (a.is(Kind::kBigInt) && b.is(Kind::kBigInt)) {
    return BigIntLess(a.big_int().digits, b.big_int().digits);
  }
  return AsLongDouble(a) < AsLongDouble(b);
}

absl::StatusOr<bool> ListLess(const List& a, const List& b) {
  const size_t common = std::min(a.items.size(), b.items.size());
  for (size_t i = 0; i < common; ++i) {
    if (!Equals(a.items[i], b.items[i])) return LessThan(a.items[i], b.items[i]);
  }
  return a.items.size() < b.items.size();
}

bool Orderable(const Value& a, const Value& b) {
  if (IsNumber(a) && IsNumber(b)) return true;
  if (a.is_string() && b.is_string()) return true;
  return a.is(Kind::kList) && b.is(Kind::kList) && a.list().type == b.list().type &&
         a.list().type <= List::Type::kTuple;
}

// a <= b is not "not b < a" where a NaN is about.
absl::StatusOr<bool> LessOrEqual(const Value& a, const Value& b) {
  if (!Orderable(a, b)) return NotComparable(a, b);
  if (Equals(a, b)) return true;
  return LessThan(a, b);
}

struct SliceRange {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};

absl::StatusOr<int64_t> SliceBound(const Value& bound, int64_t length, int64_t low, int64_t high) {
  const std::optional<int64_t> index = AsIndex(bound);
  if (!index) {
    if (bound.is_undefined()) return absl::InvalidArgumentError(bound.UndefinedMessage());
    if (bound.is(Kind::kBigInt)) return bound.big_int().digits.front() == '-' ? low : high;
    return absl::InvalidArgumentError(
        absl::StrCat("slice indices must be integers or none, not ", TypeName(bound)));
  }
  if (*index >= 0) return std::min(*index, high);
  // The sum cannot overflow: the index is negative and the length is not.
  return std::max(*index + length, low);
}

absl::StatusOr<SliceRange> ResolveSlice(const Value& start, const Value& stop, const Value& step,
                                        int64_t length) {
  SliceRange range;
  if (!step.is_none()) {
    SLUICE_ASSIGN_OR_RETURN(range.step, SliceBound(step, 0, INT64_MIN, INT64_MAX));
    if (range.step == 0) return absl::InvalidArgumentError("slice step cannot be zero");
  }
  const bool forward = range.step > 0;
  const int64_t low = forward ? 0 : -1;
  const int64_t high = forward ? length : length - 1;
  range.start = forward ? low : high;
  int64_t end = forward ? high : low;
  if (!start.is_none()) {
    SLUICE_ASSIGN_OR_RETURN(range.start, SliceBound(start, length, low, high));
  }
  if (!stop.is_none()) {
    SLUICE_ASSIGN_OR_RETURN(end, SliceBound(stop, length, low, high));
  }
  const int64_t distance = forward ? end - range.start : range.start - end;
  if (distance > 0) {
    // A step of INT64_MIN has no positive counterpart; any stride longer than the text takes one
    // item.
    const int64_t stride = forward ? range.step : -std::max(range.step, -INT64_MAX);
    range.count = (distance - 1) / stride + 1;
  }
  return range;
}

Value SliceString(const Str& str, const SliceRange& range) {
  const std::string_view view = str.view();
  if (range.count == 0) return Value::String(Text(), str.markup);
  if (range.step == 1) {
    const size_t first = str.ascii() ? static_cast<size_t>(range.start)
                                     : ByteOffset(view, static_cast<size_t>(range.start));
    const auto count = static_cast<size_t>(range.count);
    const size_t length = str.ascii() ? count : ByteOffset(view.substr(first), count);
    return Value::String(str.text.Slice(first, first + length), str.markup);
  }
  std::vector<size_t> offsets;
  offsets.reserve(str.length + 1);
  for (size_t pos = 0; pos < view.size(); pos += DecodeAt(view, pos).length) offsets.push_back(pos);
  offsets.push_back(view.size());
  Text out;
  for (int64_t i = 0; i < range.count; ++i) {
    const auto index = static_cast<size_t>(range.start + i * range.step);
    out.Append(str.text, offsets[index], offsets[index + 1]);
  }
  return Value::String(std::move(out), str.markup);
}

std::vector<Value> Characters(const Str& str) {
  std::vector<Value> items;
  items.reserve(str.length);
  for (size_t pos = 0; pos < str.text.size();) {
    const size_t next = pos + DecodeAt(str.view(), pos).length;
    items.push_back(Value::String(str.text.Slice(pos, next)));
    pos = next;
  }
  return items;
}

}  // namespace

bool IsSetLike(const Value& value) {
  return value.is(Kind::kList) &&
         (value.list().type == List::Type::kKeys || value.list().type == List::Type::kItems);
}

absl::StatusOr<bool> LessThan(const Value& a, const Value& b) {
  if (IsNumber(a) && IsNumber(b)) return NumberLess(a, b);
  if (!Orderable(a, b)) return NotComparable(a, b);
  // Comparing UTF-8 bytes orders by code point.
  if (a.is_string()) return a.str().view() < b.str().view();
  return ListLess(a.list(), b.list());
}

absl::StatusOr<bool> Compare(CompareOp op, const Value& a, const Value& b, Budget* budget) {
  switch (op) {
    case CompareOp::kEq:
      return Equals(a, b);
    case CompareOp::kNe:
      return !Equals(a, b);
    case CompareOp::kLt:
      return LessThan(a, b);
    case CompareOp::kGt:
      return LessThan(b, a);
    case CompareOp::kLe:
      return LessOrEqual(a, b);
    case CompareOp::kGe:
      return LessOrEqual(b, a);
    case CompareOp::kIn:
      return Contains(b, a, budget);
    case CompareOp::kNotIn: {
      SLUICE_ASSIGN_OR_RETURN(const bool contains, Contains(b, a, budget));
      return !contains;
    }
  }
  return false;
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget* budget) {
  if (container.is_string()) {
    if (!item.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'in' a string takes a string on its left, not ", TypeName(item)));
    }
    SLUICE_RETURN_IF_ERROR(budget->Step(container.str().text.size() / 256));
    return container.str().view().find(item.str().view()) != std::string_view::npos;
  }
  if (container.is(Kind::kDict)) {
    if (!IsHashable(item)) {
      return absl::InvalidArgumentError(absl::StrCat("unhashable type: ", TypeName(item)));
    }
    return container.dict().Find(item) != nullptr;
  }
  if (container.is(Kind::kList)) {
    const std::vector<Value>& items = container.list().items;
    SLUICE_RETURN_IF_ERROR(budget->Step(items.size()));
    return std::any_of(items.begin(), items.end(),
                       [&](const Value& value) { return Equals(value, item); });
  }
  if (container.is(Kind::kObject) && container.object()->type() == ObjectType::kGenerator) {
    auto* generator = static_cast<GeneratorObject*>(container.object());
    Value value;
    while (generator->Next(&value)) {
      if (Equals(value, item)) return true;
    }
    if (!generator->end().ok()) return generator->end();
    return false;
  }
  if (container.is_undefined()) return false;
  return absl::InvalidArgumentError(
      absl::StrCat("a value of type ", TypeName(container), " is not iterable"));
}

absl::StatusOr<Value> Slice(const Value& value, const Value& start, const Value& stop,
                            const Value& step, Budget* budget) {
  if (value.is_string()) {
    const Str& str = value.str();
    SLUICE_ASSIGN_OR_RETURN(const SliceRange range,
                            ResolveSlice(start, stop, step, static_cast<int64_t>(str.length)));
    SLUICE_RETURN_IF_ERROR(budget->Allocate(str.text.size()));
    return SliceString(str, range);
  }
  if (value.is(Kind::kList) && value.list().type <= List::Type::kRange) {
    const List& list = value.list();
    SLUICE_ASSIGN_OR_RETURN(
        const SliceRange range,
        ResolveSlice(start, stop, step, static_cast<int64_t>(list.items.size())));
    SLUICE_RETURN_IF_ERROR(budget->Allocate(static_cast<uint64_t>(range.count) * sizeof(Value)));
    std::vector<Value> items;
    items.reserve(static_cast<size_t>(range.count));
    for (int64_t i = 0; i < range.count; ++i) {
      items.push_back(list.items[static_cast<size_t>(range.start + i * range.step)]);
    }
    return MakeList(list.type, std::move(items));
  }
  if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
  return absl::InvalidArgumentError(
      absl::StrCat("a value of type ", TypeName(value), " cannot be sliced"));
}

bool IsIterable(const Value& value) {
  return value.is_string() || value.is(Kind::kList) || value.is(Kind::kDict) ||
         value.is_undefined() ||
         (value.is(Kind::kObject) && (value.object()->type() == ObjectType::kGenerator ||
                                      value.object()->type() == ObjectType::kLoop));
}

absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Budget* budget) {
  if (value.is(Kind::kList)) {
    SLUICE_RETURN_IF_ERROR(budget->Allocate(value.list().items.size() * sizeof(Value)));
    return value.list().items;
  }
  if (value.is_string()) {
    SLUICE_RETURN_IF_ERROR(budget->Allocate(value.str().length * (sizeof(Value) + sizeof(Str))));
    return Characters(value.str());
  }
  std::vector<Value> items;
  if (value.is(Kind::kDict)) {
    SLUICE_RETURN_IF_ERROR(budget->Allocate(value.dict().entries.size() * sizeof(Value)));
    for (const auto& entry : value.dict().entries) items.push_back(entry.first);
    return items;
  }
  if (value.is(Kind::kObject) && value.object()->type() == ObjectType::kGenerator) {
    auto* generator = static_cast<GeneratorObject*>(value.object());
    Value item;
    while (generator->Next(&item)) items.push_back(item);
    if (!generator->end().ok()) return generator->end();
    return items;
  }
  if (value.is_undefined()) return items;
  return absl::InvalidArgumentError(
      absl::StrCat("a value of type ", TypeName(value), " is not iterable"));
}

absl::StatusOr<int64_t> Length(const Value& value) {
  if (value.is_string()) return static_cast<int64_t>(value.str().length);
  if (value.is(Kind::kList)) return static_cast<int64_t>(value.list().items.size());
  if (value.is(Kind::kDict)) return static_cast<int64_t>(value.dict().entries.size());
  if (value.is_undefined()) return 0;
  return absl::InvalidArgumentError(
      absl::StrCat("a value of type ", TypeName(value), " has no length"));
}

Value CharacterAt(const Str& str, size_t index) {
  const size_t begin = str.ascii() ? index : ByteOffset(str.view(), index);
  return Value::String(str.text.Slice(begin, begin + DecodeAt(str.view(), begin).length),
                       str.markup);
}

Value EscapeHtml(const Value& string) {
  if (string.str().markup) return string;
  const Text& text = string.str().text;
  Text out;
  size_t plain = 0;
  for (size_t pos = 0; pos < text.size(); ++pos) {
    const char* entity = nullptr;
    switch (text.bytes()[pos]) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      case '"':
        entity = "&#34;";
        break;
      default:
        continue;
    }
    out.Append(text, plain, pos);
    out.Append(entity, text.OriginAt(pos));
    plain = pos + 1;
  }
  out.Append(text, plain, text.size());
  return Value::String(std::move(out), true);
}

absl::Status SortByKeys(std::vector<Value>* values, std::vector<Value> keys, bool reverse,
                        Budget* budget) {
  SLUICE_RETURN_IF_ERROR(budget->Step(values->size() * 8));
  std::vector<size_t> order(values->size());
  std::iota(order.begin(), order.end(), size_t{0});
  // Equal items keep their order in both directions, as in Python.
  if (reverse) std::reverse(order.begin(), order.end());
  absl::Status failure;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    absl::StatusOr<bool> less = LessThan(keys[a], keys[b]);
    if (!less.ok() && failure.ok()) failure = less.status();
    return less.ok() && *less;
  });
  SLUICE_RETURN_IF_ERROR(failure);
  if (reverse) std::reverse(order.begin(), order.end());
  std::vector<Value> sorted;
  sorted.reserve(values->size());
  for (const size_t index : order) sorted.push_back(std::move((*values)[index]));
  *values = std::move(sorted);
  return absl::OkStatus();
}

}  // namespace sluice::gateway::jinja
