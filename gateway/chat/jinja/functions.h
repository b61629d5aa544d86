// SPDX-License-Identifier: Apache-2.0
// The functions a template finds among its variables: Jinja2's range, dict, namespace, cycler and
// joiner, and Transformers' raise_exception and strftime_now. The table is constant; a call belongs
// to one render.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/call_args.h"
#include "gateway/chat/jinja/object.h"
#include "gateway/chat/jinja/runtime.h"

namespace sluice::gateway::jinja {

class FunctionObject : public Object {
 public:
  using Fn = absl::StatusOr<Value> (*)(Runtime*, const CallArgs&);
  FunctionObject(const char* function_name, Fn function)
      : Object(ObjectType::kFunction, "function"), name(function_name), call(function) {}
  const char* const name;
  const Fn call;
};

// Null where there is no such function. The objects live as long as the program and hold no state.
FunctionObject* FindFunction(std::string_view name);

}  // namespace sluice::gateway::jinja
