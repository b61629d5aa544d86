// SPDX-License-Identifier: Apache-2.0
// Methods of str, list, tuple, dict and the engine's objects. The sandbox knows the methods that
// would change a list or dict but forbids them; they are in the table so that calling one is the
// error that Jinja2 raises. The table is constant; calls belong to one render.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/call_args.h"
#include "gateway/chat/jinja/object.h"
#include "gateway/chat/jinja/runtime.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

using MethodFn = absl::StatusOr<Value> (*)(Runtime*, const Value& self, const CallArgs&);

struct MethodSpec {
  const char* name;
  MethodFn call;  // null where the sandbox forbids the method
};

// The method of this value's type; null where the type has no such method.
const MethodSpec* FindMethod(const Value& self, std::string_view name);
// Whether any type has a method of this name, forbidden ones included.
bool IsMethodName(std::string_view name);

// A method taken from its value without being called.
class BoundMethodObject : public Object {
 public:
  BoundMethodObject(Value value, const MethodSpec* spec)
      : Object(ObjectType::kBoundMethod, "builtin_function_or_method"),
        self(std::move(value)),
        method(spec) {}
  const Value self;
  const MethodSpec* const method;
};

// str methods that filters share.
absl::StatusOr<Value> CallStringMethod(Runtime* runtime, const Value& self, std::string_view name,
                                       const CallArgs& args);
const MethodSpec* FindStringMethod(std::string_view name);
absl::StatusOr<Value> FormatBraces(Runtime* runtime, const Value& self, const CallArgs& args);

}  // namespace sluice::gateway::jinja
