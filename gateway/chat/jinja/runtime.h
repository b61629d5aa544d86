// SPDX-License-Identifier: Apache-2.0
// Runtime: what one render shares with the functions it calls: its bounds, the objects it makes and
// its clock. One render, one thread.
#pragma once

#include <ctime>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/chat/jinja/budget.h"
#include "gateway/chat/jinja/object.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

struct Runtime {
  Runtime(const Limits& limits, std::time_t time) : budget(limits), now(time) {}

  Budget budget;
  ObjectPool pool;
  const std::time_t now;  // what strftime_now shows, in local time
};

// A list or dict whose depth is checked: INVALID_ARGUMENT beyond kMaxContainerDepth.
absl::StatusOr<Value> NewList(Runtime* runtime, List::Type type, std::vector<Value> items);
absl::StatusOr<Value> NewDict(Runtime* runtime, std::vector<Dict::Entry> entries);
// Checks that a key can be one.
absl::Status CheckHashable(const Value& key);

// A generator over the items; `end` is raised after them.
Value NewGenerator(Runtime* runtime, std::vector<Value> items, absl::Status end = absl::OkStatus());

}  // namespace sluice::gateway::jinja
