// SPDX-License-Identifier: Apache-2.0
// Jinja2's filters, with Transformers' tojson. The tables are constant; a call belongs to one
// render.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/call_args.h"
#include "gateway/chat/jinja/runtime.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

using FilterFn = absl::StatusOr<Value> (*)(Runtime*, const Value& input, const CallArgs&);

struct FilterSpec {
  const char* name;
  FilterFn call;
};

// Null where the engine has no such filter.
const FilterSpec* FindFilter(std::string_view name);

// The two halves of the table.
const FilterSpec* FindTextFilter(std::string_view name);
const FilterSpec* FindSequenceFilter(std::string_view name);

}  // namespace sluice::gateway::jinja
