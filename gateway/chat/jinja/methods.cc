// SPDX-License-Identifier: Apache-2.0
// Methods of lists, dicts and the engine's objects, and the look-up over all types.
#include "gateway/chat/jinja/methods.h"

#include <algorithm>
#include <iterator>

#include "gateway/chat/jinja/loop_object.h"
#include "gateway/chat/jinja/operators.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

using Args = const CallArgs&;

absl::StatusOr<Value> ListCount(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("list.count", args, {nullptr}, 1));
  const std::vector<Value>& items = self.list().items;
  SLUICE_RETURN_IF_ERROR(runtime->budget.Step(items.size()));
  return Value::Int(std::count_if(items.begin(), items.end(),
                                  [&](const Value& item) { return Equals(item, bound[0]); }));
}

absl::StatusOr<Value> ListIndex(Runtime* runtime, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("list.index", args, {nullptr, nullptr, nullptr}, 1));
  const std::vector<Value>& items = self.list().items;
  const auto length = static_cast<int64_t>(items.size());
  SLUICE_ASSIGN_OR_RETURN(int64_t start, IntArgument("list.index", "start", bound[1], 0));
  SLUICE_ASSIGN_OR_RETURN(int64_t stop, IntArgument("list.index", "stop", bound[2], length));
  if (start < 0) start = std::max<int64_t>(start + length, 0);
  if (stop < 0) stop = std::max<int64_t>(stop + length, 0);
  SLUICE_RETURN_IF_ERROR(runtime->budget.Step(items.size()));
  for (int64_t i = start; i < std::min(stop, length); ++i) {
    if (Equals(items[static_cast<size_t>(i)], bound[0])) return Value::Int(i);
  }
  return absl::InvalidArgumentError("list.index: the value is not in the list");
}

absl::StatusOr<Value> Copy(Runtime*, const Value& self, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("copy", args, {}, 0).status());
  return self;  // lists and dicts are immutable
}

absl::StatusOr<Value> DictGet(Runtime*, const Value& self, Args args) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<Value> bound,
                          BindArguments("dict.get", args, {nullptr, nullptr}, 1));
  SLUICE_RETURN_IF_ERROR(CheckHashable(bound[0]));
  if (const Value* value = self.dict().Find(bound[0])) return *value;
  return bound[1].is_missing() ? Value::None() : std::move(bound[1]);
}

absl::StatusOr<Value> View(Runtime* runtime, const Value& self, Args args, List::Type type) {
  SLUICE_RETURN_IF_ERROR(BindArguments("dict view", args, {}, 0).status());
  std::vector<Value> items;
  items.reserve(self.dict().entries.size());
  for (const auto& [key, value] : self.dict().entries) {
    if (type == List::Type::kKeys) {
      items.push_back(key);
    } else if (type == List::Type::kValues) {
      items.push_back(value);
    } else {
      SLUICE_ASSIGN_OR_RETURN(Value pair, NewList(runtime, List::Type::kTuple, {key, value}));
      items.push_back(std::move(pair));
    }
  }
  return NewList(runtime, type, std::move(items));
}

absl::StatusOr<Value> DictItems(Runtime* runtime, const Value& self, Args args) {
  return View(runtime, self, args, List::Type::kItems);
}
absl::StatusOr<Value> DictKeys(Runtime* runtime, const Value& self, Args args) {
  return View(runtime, self, args, List::Type::kKeys);
}
absl::StatusOr<Value> DictValues(Runtime* runtime, const Value& self, Args args) {
  return View(runtime, self, args, List::Type::kValues);
}

absl::StatusOr<Value> CyclerNext(Runtime*, const Value& self, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("cycler.next", args, {}, 0).status());
  auto* cycler = static_cast<CyclerObject*>(self.object());
  Value current = cycler->items[cycler->position];
  cycler->position = (cycler->position + 1) % cycler->items.size();
  return current;
}

absl::StatusOr<Value> CyclerReset(Runtime*, const Value& self, Args args) {
  SLUICE_RETURN_IF_ERROR(BindArguments("cycler.reset", args, {}, 0).status());
  static_cast<CyclerObject*>(self.object())->position = 0;
  return Value::None();
}

absl::StatusOr<Value> LoopCycle(Runtime*, const Value& self, Args args) {
  return static_cast<LoopObject*>(self.object())->Cycle(args);
}

absl::StatusOr<Value> LoopChanged(Runtime*, const Value& self, Args args) {
  return static_cast<LoopObject*>(self.object())->Changed(args);
}

constexpr MethodSpec kListMethods[] = {
    {"append", nullptr}, {"clear", nullptr},   {"copy", Copy},      {"count", ListCount},
    {"extend", nullptr}, {"index", ListIndex}, {"insert", nullptr}, {"pop", nullptr},
    {"remove", nullptr}, {"reverse", nullptr}, {"sort", nullptr}};
constexpr MethodSpec kTupleMethods[] = {{"count", ListCount}, {"index", ListIndex}};
constexpr MethodSpec kDictMethods[] = {
    {"clear", nullptr},  {"copy", Copy},        {"get", DictGet},     {"items", DictItems},
    {"keys", DictKeys},  {"pop", nullptr},      {"popitem", nullptr}, {"setdefault", nullptr},
    {"update", nullptr}, {"values", DictValues}};
constexpr MethodSpec kCyclerMethods[] = {{"next", CyclerNext}, {"reset", CyclerReset}};
constexpr MethodSpec kLoopMethods[] = {{"changed", LoopChanged}, {"cycle", LoopCycle}};

template <size_t N>
const MethodSpec* FindIn(const MethodSpec (&methods)[N], std::string_view name) {
  const auto* it = std::find_if(std::begin(methods), std::end(methods),
                                [&](const MethodSpec& spec) { return spec.name == name; });
  return it == std::end(methods) ? nullptr : it;
}

}  // namespace

const MethodSpec* FindMethod(const Value& self, std::string_view name) {
  switch (self.kind()) {
    case Kind::kString:
      return FindStringMethod(name);
    case Kind::kDict:
      return FindIn(kDictMethods, name);
    case Kind::kList:
      if (self.list().type == List::Type::kList) return FindIn(kListMethods, name);
      if (self.list().type <= List::Type::kRange) return FindIn(kTupleMethods, name);
      return nullptr;
    case Kind::kObject:
      if (self.object()->type() == ObjectType::kCycler) return FindIn(kCyclerMethods, name);
      if (self.object()->type() == ObjectType::kLoop) return FindIn(kLoopMethods, name);
      return nullptr;
    default:
      return nullptr;
  }
}

bool IsMethodName(std::string_view name) {
  return FindStringMethod(name) != nullptr || FindIn(kListMethods, name) != nullptr ||
         FindIn(kDictMethods, name) != nullptr || FindIn(kCyclerMethods, name) != nullptr ||
         FindIn(kLoopMethods, name) != nullptr;
}

}  // namespace sluice::gateway::jinja
