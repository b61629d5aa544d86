// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/runtime.h"

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

absl::Status CheckDepth(const Value& value) {
  if (ContainerDepth(value) <= kMaxContainerDepth) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("lists and dicts are nested deeper than ", kMaxContainerDepth, " levels"));
}

}  // namespace

absl::Status CheckHashable(const Value& key) {
  if (IsHashable(key)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("unhashable type: ", TypeName(key)));
}

absl::StatusOr<Value> NewList(Runtime* runtime, List::Type type, std::vector<Value> items) {
  SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(sizeof(List) + items.size() * sizeof(Value)));
  Value list = MakeList(type, std::move(items));
  SLUICE_RETURN_IF_ERROR(CheckDepth(list));
  return list;
}

absl::StatusOr<Value> NewDict(Runtime* runtime, std::vector<Dict::Entry> entries) {
  SLUICE_RETURN_IF_ERROR(
      runtime->budget.Allocate(sizeof(Dict) + entries.size() * 2 * sizeof(Dict::Entry)));
  for (const Dict::Entry& entry : entries) SLUICE_RETURN_IF_ERROR(CheckHashable(entry.first));
  Value dict = MakeDict(std::move(entries));
  SLUICE_RETURN_IF_ERROR(CheckDepth(dict));
  return dict;
}

Value NewGenerator(Runtime* runtime, std::vector<Value> items, absl::Status end) {
  return Value::FromObject(
      runtime->pool.Make<GeneratorObject>("generator", std::move(items), std::move(end)));
}

}  // namespace sluice::gateway::jinja
