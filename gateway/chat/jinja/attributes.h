// SPDX-License-Identifier: Apache-2.0
// x.name and x[key] as the sandboxed environment resolves them: attributes before items for the
// dot, items before attributes for the brackets, undefined where there is neither or where the
// attribute is unsafe. One render, one thread.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/runtime.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

// INVALID_ARGUMENT where `object` is undefined. REQUIRES: name is a string.
absl::StatusOr<Value> GetAttribute(Runtime* runtime, const Value& object, const Value& name);
absl::StatusOr<Value> GetItem(Runtime* runtime, const Value& object, const Value& key);
// The attribute filter of map, sort and their kind: "a.b.0" step by step.
absl::StatusOr<Value> GetPath(Runtime* runtime, const Value& object, const Value& path,
                              const Value& fallback);

}  // namespace sluice::gateway::jinja
