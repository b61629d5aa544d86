// SPDX-License-Identifier: Apache-2.0
// Filters on sequences and mappings, and default.
#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/attributes.h"
#include "gateway/chat/jinja/filters.h"
#include "gateway/chat/jinja/methods.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/tests.h"
#include "gateway/chat/jinja/text_ops.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

using Args = const CallArgs&;

// jinja2.filters.ignore_case.
Value IgnoreCase(const Value& value) {
  return value.is_string() ? Value::String(ToLower(value.str().text)) : value;
}

absl::StatusOr<Value> LengthFilter(Runtime*, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("length", args, {}, 0).status());
  SLUICE_ASSIGN_OR_RETURN(const int64_t length, Length(input));
  return Value::Int(length);
}

absl::StatusOr<Value> Default(Runtime*, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("default", args, {"default_value", "boolean"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const bool boolean, BoolArgument(bound[1], false));
  if (!input.is_undefined() && !(boolean && !Truthy(input))) return input;
  return bound[0].is_missing() ? Value::UserString("") : bound[0];
}

absl::StatusOr<Value> ListFilter(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("list", args, {}, 0).status());
  SLUICE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input, &runtime->budget));
  return NewList(runtime, List::Type::kList, std::move(items));
}

absl::StatusOr<Value> Items(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("items", args, {}, 0).status());
  if (input.is_undefined()) return NewGenerator(runtime, {});
  if (!input.is(Kind::kDict)) {
    return NewGenerator(runtime, {},
                        absl::InvalidArgumentError("items: expected a mapping, not a " +
                                                   std::string(TypeName(input))));
  }
  std::vector<Value> items;
  for (const auto& [key, value] : input.dict().entries) {
    SLUICE_ASSIGN_OR_RETURN(Value pair, NewList(runtime, List::Type::kTuple, {key, value}));
    items.push_back(std::move(pair));
  }
  return NewGenerator(runtime, std::move(items));
}

absl::StatusOr<Value> First(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("first", args, {}, 0).status());
  if (input.is(Kind::kObject) && input.object()->type() == ObjectType::kGenerator) {
    auto* generator = static_cast<GeneratorObject*>(input.object());
    Value item;
    if (generator->Next(&item)) return item;
    if (!generator->end().ok()) return generator->end();
    return Value::UndefinedHint("No first item, sequence was empty.");
  }
  if (input.is_string() && input.str().length > 0) return CharacterAt(input.str(), 0);
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  if (items.empty()) return Value::UndefinedHint("No first item, sequence was empty.");
  return items.front();
}

// reversed(x) takes sequences and dicts, not generators.
bool IsReversible(const Value& value) {
  return value.is_string() || value.is(Kind::kList) || value.is(Kind::kDict) ||
         value.is_undefined();
}

absl::Status NotReversible(const Value& input) {
  return absl::InvalidArgumentError(
      absl::StrCat("a value of type ", TypeName(input), " cannot be reversed"));
}

absl::StatusOr<Value> Last(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("last", args, {}, 0).status());
  if (!IsReversible(input)) return NotReversible(input);
  if (input.is_string() && input.str().length > 0) {
    return CharacterAt(input.str(), input.str().length - 1);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  if (items.empty()) return Value::UndefinedHint("No last item, sequence was empty.");
  return items.back();
}

absl::StatusOr<Value> Reverse(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("reverse", args, {}, 0).status());
  if (input.is_string()) {
    return Slice(input, Value::None(), Value::None(), Value::Int(-1), &runtime->budget);
  }
  SLUICE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input, &runtime->budget));
  std::reverse(items.begin(), items.end());
  if (IsReversible(input)) return NewGenerator(runtime, std::move(items));
  return NewList(runtime, List::Type::kList, std::move(items));
}

absl::StatusOr<Value> JoinFilter(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("join", args, {"d", "attribute"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  Text separator;
  if (!bound[0].is_missing()) {
    SLUICE_ASSIGN_OR_RETURN(separator, ToText(bound[0]));
  }
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(separator);
    SLUICE_ASSIGN_OR_RETURN(const Value item, GetPath(runtime, items[i], bound[1], Value()));
    const size_t before = out.size();
    SLUICE_RETURN_IF_ERROR(AppendText(item, &out));
    SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(out.size() - before + separator.size()));
  }
  return Value::String(std::move(out));
}

absl::StatusOr<Value> Map(Runtime* runtime, const Value& input, Args args) {
  if (!Truthy(input)) return NewGenerator(runtime, {});
  Value path;
  Value fallback;
  const FilterSpec* filter = nullptr;
  CallArgs rest;
  if (args.positional.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                            BindArguments("map", args, {"attribute", "default"}, 0));
    if (bound[0].is_missing()) return absl::InvalidArgumentError("map requires a filter argument");
    path = bound[0];
    fallback = bound[1];
  } else {
    const Value& name = args.positional[0];
    if (name.is_string()) filter = FindFilter(name.str().view());
    if (filter == nullptr) return absl::InvalidArgumentError("map: unknown filter");
    rest.positional.assign(args.positional.begin() + 1, args.positional.end());
    rest.keyword = args.keyword;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  std::vector<Value> mapped;
  for (const Value& item : items) {
    SLUICE_RETURN_IF_ERROR(runtime->budget.Step());
    absl::StatusOr<Value> value = filter != nullptr ? filter->call(runtime, item, rest)
                                                    : GetPath(runtime, item, path, fallback);
    if (!value.ok()) return NewGenerator(runtime, std::move(mapped), value.status());
    mapped.push_back(*std::move(value));
  }
  return NewGenerator(runtime, std::move(mapped));
}

// select, reject, selectattr and rejectattr.
template <bool Keep, bool ByAttribute>
absl::StatusOr<Value> SelectItems(Runtime* runtime, const Value& input, Args args) {
  if (!Truthy(input)) return NewGenerator(runtime, {});
  constexpr size_t kTestPosition = ByAttribute ? 1 : 0;
  if (args.positional.size() < kTestPosition) {
    return absl::InvalidArgumentError("selectattr: the attribute's name is missing");
  }
  const Value path = ByAttribute ? args.positional[0] : Value();
  const TestSpec* test = nullptr;
  CallArgs rest;
  if (args.positional.size() > kTestPosition) {
    const Value& name = args.positional[kTestPosition];
    if (name.is_string()) test = FindTest(name.str().view());
    if (test == nullptr) return absl::InvalidArgumentError("select: unknown test");
    rest.positional.assign(args.positional.begin() + kTestPosition + 1, args.positional.end());
    rest.keyword = args.keyword;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  std::vector<Value> kept;
  for (const Value& item : items) {
    SLUICE_RETURN_IF_ERROR(runtime->budget.Step());
    absl::StatusOr<Value> subject = GetPath(runtime, item, path, Value());
    absl::StatusOr<bool> passes = !subject.ok()     ? absl::StatusOr<bool>(subject.status())
                                  : test != nullptr ? test->call(runtime, *subject, rest)
                                                    : absl::StatusOr<bool>(Truthy(*subject));
    if (!passes.ok()) return NewGenerator(runtime, std::move(kept), passes.status());
    if (*passes == Keep) kept.push_back(item);
  }
  return NewGenerator(runtime, std::move(kept));
}

absl::StatusOr<Value> SortFilter(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(
      const std::vector<Value> bound,
      BindArguments("sort", args, {"reverse", "case_sensitive", "attribute"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const bool reverse, BoolArgument(bound[0], false));
  SLUICE_ASSIGN_OR_RETURN(const bool case_sensitive, BoolArgument(bound[1], false));
  SLUICE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input, &runtime->budget));
  std::vector<Value> paths;  // an attribute may list several, separated by commas
  if (bound[2].is_string()) {
    for (Text& path : Split(bound[2].str().text, ",", -1)) {
      paths.push_back(Value::String(std::move(path)));
    }
  } else {
    paths.push_back(bound[2]);
  }
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const Value& path : paths) {
      SLUICE_ASSIGN_OR_RETURN(Value key, GetPath(runtime, item, path, Value()));
      parts.push_back(case_sensitive ? std::move(key) : IgnoreCase(key));
    }
    SLUICE_ASSIGN_OR_RETURN(Value key, NewList(runtime, List::Type::kList, std::move(parts)));
    keys.push_back(std::move(key));
  }
  SLUICE_RETURN_IF_ERROR(SortByKeys(&items, std::move(keys), reverse, &runtime->budget));
  return NewList(runtime, List::Type::kList, std::move(items));
}

absl::StatusOr<Value> DictSort(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("dictsort", args, {"case_sensitive", "by", "reverse"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const bool case_sensitive, BoolArgument(bound[0], false));
  SLUICE_ASSIGN_OR_RETURN(const bool reverse, BoolArgument(bound[2], false));
  const bool by_value = bound[1].is_string() && bound[1].str().view() == "value";
  const bool by_key =
      bound[1].is_missing() || (bound[1].is_string() && bound[1].str().view() == "key");
  if (!by_value && !by_key) {
    return absl::InvalidArgumentError("dictsort: by must be 'key' or 'value'");
  }
  if (!input.is(Kind::kDict)) {
    if (input.is_undefined()) return absl::InvalidArgumentError(input.UndefinedMessage());
    return absl::InvalidArgumentError(
        absl::StrCat("dictsort: expected a dict, not ", TypeName(input)));
  }
  std::vector<Value> items;
  std::vector<Value> keys;
  for (const auto& [key, value] : input.dict().entries) {
    const Value& by = by_value ? value : key;
    keys.push_back(case_sensitive ? by : IgnoreCase(by));
    SLUICE_ASSIGN_OR_RETURN(Value pair, NewList(runtime, List::Type::kTuple, {key, value}));
    items.push_back(std::move(pair));
  }
  SLUICE_RETURN_IF_ERROR(SortByKeys(&items, std::move(keys), reverse, &runtime->budget));
  return NewList(runtime, List::Type::kList, std::move(items));
}

absl::StatusOr<Value> Unique(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("unique", args, {"case_sensitive", "attribute"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const bool case_sensitive, BoolArgument(bound[0], false));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  // A dict keeps the first position and the last value of equal keys, so the first item is kept
  // apart.
  std::vector<Dict::Entry> entries;
  for (const Value& item : items) {
    SLUICE_ASSIGN_OR_RETURN(Value key, GetPath(runtime, item, bound[1], Value()));
    if (!case_sensitive) key = IgnoreCase(key);
    const absl::Status hashable = CheckHashable(key);
    if (!hashable.ok()) return NewGenerator(runtime, {}, hashable);
    entries.emplace_back(std::move(key), item);
  }
  std::reverse(entries.begin(), entries.end());  // so that the last value is the first item
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(entries.size() * sizeof(Dict::Entry)));
  const Dict first_of_key(entries);
  std::reverse(entries.begin(), entries.end());
  std::vector<Value> kept;
  const Dict order(std::move(entries));
  kept.reserve(order.entries.size());
  for (const auto& [key, unused] : order.entries) kept.push_back(*first_of_key.Find(key));
  return NewGenerator(runtime, std::move(kept));
}

template <bool Max>
absl::StatusOr<Value> Extreme(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("min", args, {"case_sensitive", "attribute"}, 0));
  SLUICE_ASSIGN_OR_RETURN(const bool case_sensitive, BoolArgument(bound[0], false));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  if (items.empty()) return Value::UndefinedHint("No aggregated item, sequence was empty.");
  Value best;
  Value best_key;
  for (const Value& item : items) {
    SLUICE_ASSIGN_OR_RETURN(Value key, GetPath(runtime, item, bound[1], Value()));
    if (!case_sensitive) key = IgnoreCase(key);
    bool better = best.is_missing();
    if (!better) {
      SLUICE_ASSIGN_OR_RETURN(better, Max ? LessThan(best_key, key) : LessThan(key, best_key));
    }
    if (better) {
      best = item;
      best_key = std::move(key);
    }
  }
  return best;
}

absl::StatusOr<Value> Sum(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("sum", args, {"attribute", "start"}, 0));
  Value total = bound[1].is_missing() ? Value::Int(0) : bound[1];
  if (total.is_string()) return absl::InvalidArgumentError("sum: strings cannot be summed");
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  for (const Value& item : items) {
    SLUICE_ASSIGN_OR_RETURN(const Value term, GetPath(runtime, item, bound[0], Value()));
    SLUICE_ASSIGN_OR_RETURN(total, Binary(BinaryOp::kAdd, total, term, &runtime->budget));
  }
  return total;
}

absl::StatusOr<Value> Batch(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("batch", args, {"linecount", "fill_with"}, 1));
  SLUICE_ASSIGN_OR_RETURN(const int64_t count, IntArgument("batch", "linecount", bound[0], 0));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  std::vector<std::vector<Value>> rows;
  for (const Value& item : items) {
    if (rows.empty() || static_cast<int64_t>(rows.back().size()) == count) rows.emplace_back();
    rows.back().push_back(item);
  }
  const bool fill = !bound[1].is_missing() && !bound[1].is_none();
  if (fill && !rows.empty() && static_cast<int64_t>(rows.back().size()) < count) {
    SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(static_cast<uint64_t>(count) * sizeof(Value)));
    rows.back().resize(static_cast<size_t>(count), bound[1]);
  }
  std::vector<Value> batches;
  // A line count of zero opens with an empty batch, since the first item finds a full one.
  if (count == 0 && !rows.empty()) {
    SLUICE_ASSIGN_OR_RETURN(Value empty, NewList(runtime, List::Type::kList, {}));
    batches.push_back(std::move(empty));
  }
  for (std::vector<Value>& row : rows) {
    SLUICE_ASSIGN_OR_RETURN(Value batch, NewList(runtime, List::Type::kList, std::move(row)));
    batches.push_back(std::move(batch));
  }
  return NewGenerator(runtime, std::move(batches));
}

absl::StatusOr<Value> SliceFilter(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("slice", args, {"slices", "fill_with"}, 1));
  SLUICE_ASSIGN_OR_RETURN(const int64_t slices, IntArgument("slice", "slices", bound[0], 0));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, &runtime->budget));
  if (slices == 0) {
    return NewGenerator(runtime, {}, absl::InvalidArgumentError("division by zero"));
  }
  if (slices < 0) return NewGenerator(runtime, {});
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(static_cast<uint64_t>(slices) * sizeof(List)));
  const auto length = static_cast<int64_t>(items.size());
  const int64_t per_slice = length / slices;
  const int64_t with_extra = length % slices;
  std::vector<Value> rows;
  int64_t begin = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t end = begin + per_slice + (i < with_extra ? 1 : 0);
    std::vector<Value> row(items.begin() + begin, items.begin() + end);
    const bool fill = !bound[1].is_missing() && !bound[1].is_none() && i >= with_extra;
    if (fill) row.push_back(bound[1]);
    SLUICE_ASSIGN_OR_RETURN(Value list, NewList(runtime, List::Type::kList, std::move(row)));
    rows.push_back(std::move(list));
    begin = end;
  }
  return NewGenerator(runtime, std::move(rows));
}

// Like the dot, without falling back to items.
absl::StatusOr<Value> Attr(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound, BindArguments("attr", args, {"name"}, 1));
  if (!bound[0].is_string()) return absl::InvalidArgumentError("attr: the name must be a string");
  if (input.is(Kind::kDict) && FindMethod(input, bound[0].str().view()) == nullptr) {
    return Value::UndefinedAttribute(&bound[0].str(), TypeName(input));
  }
  return GetAttribute(runtime, input, bound[0]);
}

constexpr FilterSpec kFilters[] = {
    {"attr", Attr},
    {"batch", Batch},
    {"count", LengthFilter},
    {"d", Default},
    {"default", Default},
    {"dictsort", DictSort},
    {"first", First},
    {"items", Items},
    {"join", JoinFilter},
    {"last", Last},
    {"length", LengthFilter},
    {"list", ListFilter},
    {"map", Map},
    {"max", Extreme<true>},
    {"min", Extreme<false>},
    {"reject", SelectItems<false, false>},
    {"rejectattr", SelectItems<false, true>},
    {"reverse", Reverse},
    {"select", SelectItems<true, false>},
    {"selectattr", SelectItems<true, true>},
    {"slice", SliceFilter},
    {"sort", SortFilter},
    {"sum", Sum},
    {"unique", Unique},
};

}  // namespace

const FilterSpec* FindSequenceFilter(std::string_view name) {
  const auto* it = std::find_if(std::begin(kFilters), std::end(kFilters),
                                [&](const FilterSpec& spec) { return spec.name == name; });
  return it == std::end(kFilters) ? nullptr : it;
}

const FilterSpec* FindFilter(std::string_view name) {
  const FilterSpec* filter = FindSequenceFilter(name);
  return filter != nullptr ? filter : FindTextFilter(name);
}

}  // namespace sluice::gateway::jinja
