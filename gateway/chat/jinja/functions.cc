// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/functions.h"

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

using Args = const CallArgs&;

constexpr int64_t kMaxRange = 100000;  // jinja2.sandbox.MAX_RANGE

absl::StatusOr<Value> Range(Runtime* runtime, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("range", args, {nullptr, nullptr, nullptr}, 1));
  SLUICE_ASSIGN_OR_RETURN(int64_t start, IntArgument("range", "start", bound[0], 0));
  SLUICE_ASSIGN_OR_RETURN(int64_t stop, IntArgument("range", "stop", bound[1], 0));
  SLUICE_ASSIGN_OR_RETURN(const int64_t step, IntArgument("range", "step", bound[2], 1));
  if (bound[1].is_missing()) stop = std::exchange(start, 0);
  if (step == 0) return absl::InvalidArgumentError("range: the step must not be zero");
  // In 128 bits, where the distance of two 64-bit numbers fits.
  const __int128 distance =
      step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? static_cast<__int128>(step) : -static_cast<__int128>(step);
  const __int128 count = distance <= 0 ? 0 : (distance - 1) / stride + 1;
  if (count > kMaxRange) {
    return absl::InvalidArgumentError(absl::StrCat("range: more than ", kMaxRange, " numbers"));
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) items.push_back(Value::Int(start + i * step));
  return NewList(runtime, List::Type::kRange, std::move(items));
}

// dict(mapping or pairs, name=value, ...).
absl::StatusOr<std::vector<Dict::Entry>> DictEntries(Runtime* runtime, const char* function,
                                                     Args args) {
  std::vector<Dict::Entry> entries;
  if (args.positional.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(function, ": takes at most 1 positional argument"));
  }
  if (!args.positional.empty() && args.positional[0].is(Kind::kDict)) {
    entries = args.positional[0].dict().entries;
  } else if (!args.positional.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> pairs,
                            Iterate(args.positional[0], &runtime->budget));
    for (const Value& pair : pairs) {
      SLUICE_ASSIGN_OR_RETURN(std::vector<Value> parts, Iterate(pair, &runtime->budget));
      if (parts.size() != 2) {
        return absl::InvalidArgumentError(absl::StrCat(function, ": expected pairs"));
      }
      SLUICE_RETURN_IF_ERROR(CheckHashable(parts[0]));
      entries.emplace_back(std::move(parts[0]), std::move(parts[1]));
    }
  }
  entries.insert(entries.end(), args.keyword.begin(), args.keyword.end());
  return entries;
}

absl::StatusOr<Value> DictFunction(Runtime* runtime, Args args) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<Dict::Entry> entries, DictEntries(runtime, "dict", args));
  return NewDict(runtime, std::move(entries));
}

absl::StatusOr<Value> Namespace(Runtime* runtime, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Dict::Entry> entries,
                          DictEntries(runtime, "namespace", args));
  SLUICE_RETURN_IF_ERROR(
      runtime->budget.Allocate(sizeof(NamespaceObject) + entries.size() * sizeof(Dict::Entry)));
  auto* object = runtime->pool.Make<NamespaceObject>();
  for (const auto& [key, value] : entries) {
    if (!key.is_string()) {
      return absl::InvalidArgumentError("namespace: attribute names must be strings");
    }
    if (key.str().view().starts_with('_')) {
      return absl::InvalidArgumentError("namespace: attribute names must not start with '_'");
    }
    object->Set(key, value);
  }
  return Value::FromObject(object);
}

absl::StatusOr<Value> RaiseException(Runtime*, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("raise_exception", args, {"message"}, 1));
  SLUICE_ASSIGN_OR_RETURN(const Text message, ToText(bound[0]));
  // kAborted tells the template's own errors from the engine's; Template::Render turns it into
  // INVALID_ARGUMENT.
  return absl::AbortedError(message.bytes());
}

absl::StatusOr<Value> StrftimeNow(Runtime* runtime, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("strftime_now", args, {"format"}, 1));
  if (!bound[0].is_string()) {
    return absl::InvalidArgumentError("strftime_now: the format must be a string");
  }
  const std::string& format = bound[0].str().text.bytes();
  if (format.size() > 4096)
    return absl::InvalidArgumentError("strftime_now: the format is too long");
  std::tm local{};
  localtime_r(&runtime->now, &local);
  // strftime cannot tell an empty result from a full buffer, so the format gets a character that is
  // cut off again.
  std::string out(format.size() * 128 + 2, '\0');
  const size_t length = std::strftime(out.data(), out.size(), (format + "x").c_str(), &local);
  if (length == 0) return absl::InvalidArgumentError("strftime_now: the format cannot be used");
  out.resize(length - 1);
  return Value::UserString(std::move(out));
}

absl::StatusOr<Value> Cycler(Runtime* runtime, Args args) {
  if (!args.keyword.empty()) return absl::InvalidArgumentError("cycler: takes no named arguments");
  if (args.positional.empty()) {
    return absl::InvalidArgumentError("cycler: at least one item has to be provided");
  }
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(sizeof(CyclerObject)));
  return Value::FromObject(runtime->pool.Make<CyclerObject>(args.positional));
}

absl::StatusOr<Value> Joiner(Runtime* runtime, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("joiner", args, {"sep"}, 0));
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(sizeof(JoinerObject)));
  return Value::FromObject(
      runtime->pool.Make<JoinerObject>(bound[0].is_missing() ? Value::UserString(", ") : bound[0]));
}

}  // namespace

FunctionObject* FindFunction(std::string_view name) {
  static FunctionObject functions[] = {{"range", Range},
                                       {"dict", DictFunction},
                                       {"namespace", Namespace},
                                       {"raise_exception", RaiseException},
                                       {"cycler", Cycler},
                                       {"joiner", Joiner},
                                       {"strftime_now", StrftimeNow}};
  for (FunctionObject& function : functions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

}  // namespace sluice::gateway::jinja
