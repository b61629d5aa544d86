// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/attributes.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/loop_object.h"
#include "gateway/chat/jinja/methods.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/text_ops.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

bool IsDunder(std::string_view name) {
  return name.size() >= 4 && name.starts_with("__") && name.ends_with("__");
}

Value Unsafe(const Value& object, std::string_view name) {
  return Value::UndefinedHint(absl::StrCat("access to attribute '", std::string(name), "' of '",
                                           TypeName(object), "' object is unsafe"));
}

Value Missing(const Value& object, const Value& key) {
  if (key.is_string()) return Value::UndefinedAttribute(&key.str(), TypeName(object));
  Text repr;
  const std::string name = AppendRepr(key, &repr).ok() ? repr.bytes() : TypeName(key);
  return Value::UndefinedHint(absl::StrCat(TypeName(object), " object has no element ", name));
}

absl::StatusOr<Value> ObjectAttribute(Object* object, std::string_view name) {
  switch (object->type()) {
    case ObjectType::kNamespace: {
      const Value* value = static_cast<NamespaceObject*>(object)->Find(name);
      return value == nullptr ? Value() : *value;
    }
    case ObjectType::kLoop:
      return static_cast<LoopObject*>(object)->Attribute(name);
    case ObjectType::kCycler: {
      const auto* cycler = static_cast<CyclerObject*>(object);
      if (name == "current") return cycler->items[cycler->position];
      return Value();
    }
    default:
      return Value();
  }
}

// What Python's getattr finds: a method or an attribute of an object; missing where there is
// nothing.
absl::StatusOr<Value> PythonAttribute(Runtime* runtime, const Value& object,
                                      std::string_view name) {
  if (IsDunder(name)) return Unsafe(object, name);
  if (const MethodSpec* method = FindMethod(object, name)) {
    if (method->call == nullptr) return Unsafe(object, name);
    SLUICE_RETURN_IF_ERROR(runtime->budget.Allocate(sizeof(BoundMethodObject)));
    return Value::FromObject(runtime->pool.Make<BoundMethodObject>(object, method));
  }
  if (object.is(Kind::kObject)) return ObjectAttribute(object.object(), name);
  return Value();
}

// object[key]; missing where Python raises a TypeError or LookupError.
absl::StatusOr<Value> PythonItem(const Value& object, const Value& key) {
  if (object.is(Kind::kDict)) {
    if (!IsHashable(key)) return Value();
    const Value* value = object.dict().Find(key);
    return value == nullptr ? Value() : *value;
  }
  const bool is_string = object.is_string();
  const bool is_list = object.is(Kind::kList) && object.list().type <= List::Type::kRange;
  if (!is_string && !is_list) return Value();
  const std::optional<int64_t> index = AsIndex(key);
  if (!index) return Value();
  const auto length =
      static_cast<int64_t>(is_string ? object.str().length : object.list().items.size());
  const int64_t position = *index < 0 ? *index + length : *index;
  if (position < 0 || position >= length) return Value();
  const auto at = static_cast<size_t>(position);
  return is_string ? CharacterAt(object.str(), at) : object.list().items[at];
}

}  // namespace

absl::StatusOr<Value> GetAttribute(Runtime* runtime, const Value& object, const Value& name) {
  if (object.is_undefined()) return absl::InvalidArgumentError(object.UndefinedMessage());
  SLUICE_ASSIGN_OR_RETURN(Value value, PythonAttribute(runtime, object, name.str().view()));
  if (!value.is_missing()) return value;
  if (object.is(Kind::kDict)) {
    if (const Value* item = object.dict().Find(name.str().view())) return *item;
  }
  return Missing(object, name);
}

absl::StatusOr<Value> GetItem(Runtime* runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return absl::InvalidArgumentError(object.UndefinedMessage());
  SLUICE_ASSIGN_OR_RETURN(Value value, PythonItem(object, key));
  if (!value.is_missing()) return value;
  if (key.is_string()) {
    SLUICE_ASSIGN_OR_RETURN(value, PythonAttribute(runtime, object, key.str().view()));
    if (!value.is_missing()) return value;
  }
  return Missing(object, key);
}

absl::StatusOr<Value> GetPath(Runtime* runtime, const Value& object, const Value& path,
                              const Value& fallback) {
  if (path.is_missing() || path.is_none()) return object;
  std::vector<Value> keys;
  if (path.is_string()) {
    for (Text& part : Split(path.str().text, ".", -1)) {
      const bool is_number =
          !part.empty() && part.view().find_first_not_of("0123456789") == std::string_view::npos;
      if (is_number) {
        SLUICE_ASSIGN_OR_RETURN(Value index, ParseInteger(part.view()));
        keys.push_back(std::move(index));
      } else {
        keys.push_back(Value::String(std::move(part)));
      }
    }
  } else {
    keys.push_back(path);
  }
  Value item = object;
  for (const Value& key : keys) {
    SLUICE_ASSIGN_OR_RETURN(item, GetItem(runtime, item, key));
    const bool use_fallback = item.is_undefined() && !fallback.is_missing() && !fallback.is_none();
    if (use_fallback) item = fallback;
  }
  return item;
}

}  // namespace sluice::gateway::jinja
