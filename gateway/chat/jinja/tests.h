// SPDX-License-Identifier: Apache-2.0
// Jinja2's tests: what stands after `is`. The table is constant; a call belongs to one render.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/call_args.h"
#include "gateway/chat/jinja/runtime.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

using TestFn = absl::StatusOr<bool> (*)(Runtime*, const Value& input, const CallArgs&);

struct TestSpec {
  const char* name;
  TestFn call;
};

// Null where the engine has no such test.
const TestSpec* FindTest(std::string_view name);

}  // namespace sluice::gateway::jinja
