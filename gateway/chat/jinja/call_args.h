// SPDX-License-Identifier: Apache-2.0
// Arguments of a call, and binding them to parameter names as Python does. Plain data; one render,
// one thread.
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<Value, Value>> keyword;  // names are strings

  bool empty() const { return positional.empty() && keyword.empty(); }
};

// One value for each name, in order; missing values where an optional argument was not given. A
// null name can only be given by position. INVALID_ARGUMENT for too many, unknown, doubled or
// missing required arguments.
absl::StatusOr<std::vector<Value>> BindArguments(std::string_view function, const CallArgs& args,
                                                 std::initializer_list<const char*> names,
                                                 size_t required);

// Bound arguments as plain types; `fallback` where missing.
absl::StatusOr<bool> BoolArgument(const Value& value, bool fallback);  // any value's truth
absl::StatusOr<int64_t> IntArgument(std::string_view function, const char* name, const Value& value,
                                    int64_t fallback);

}  // namespace sluice::gateway::jinja
