// SPDX-License-Identifier: Apache-2.0
// The mutable objects of one render: they are owned by the render's ObjectPool and die with it.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

enum class ObjectType {
  kNamespace,
  kMacro,
  kLoop,
  kCycler,
  kJoiner,
  kGenerator,
  kFunction,
  kBoundMethod
};

class Object {
 public:
  Object(ObjectType type, const char* type_name) : type_(type), type_name_(type_name) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  ObjectType type() const { return type_; }
  const char* type_name() const { return type_name_; }

 private:
  const ObjectType type_;
  const char* const type_name_;
};

class ObjectPool {
 public:
  template <typename T, typename... Args>
  T* Make(Args&&... args) {
    auto object = std::make_unique<T>(std::forward<Args>(args)...);
    T* raw = object.get();
    objects_.push_back(std::move(object));
    return raw;
  }

 private:
  std::vector<std::unique_ptr<Object>> objects_;
};

// Attributes that templates set: namespace(...), and `set ns.x = ...`.
class NamespaceObject : public Object {
 public:
  NamespaceObject() : Object(ObjectType::kNamespace, "Namespace") {}
  const Value* Find(std::string_view name) const;
  void Set(const Value& name, Value value);

 private:
  std::vector<std::pair<Value, Value>> attributes_;
};

// What filters such as map and select yield: read once, front to back. The items are computed at
// once; an error met on the way is raised when the reader gets there, as Python's laziness has it.
class GeneratorObject : public Object {
 public:
  GeneratorObject(const char* type_name, std::vector<Value> items, absl::Status end)
      : Object(ObjectType::kGenerator, type_name), items_(std::move(items)), end_(std::move(end)) {}
  bool Next(Value* value) {
    if (position_ == items_.size()) return false;
    *value = items_[position_++];
    return true;
  }
  // OK, or what stopped the computation, once Next has returned false.
  const absl::Status& end() const { return end_; }

 private:
  std::vector<Value> items_;
  size_t position_ = 0;
  absl::Status end_;
};

class CyclerObject : public Object {
 public:
  explicit CyclerObject(std::vector<Value> values)
      : Object(ObjectType::kCycler, "Cycler"), items(std::move(values)) {}
  const std::vector<Value> items;
  size_t position = 0;
};

class JoinerObject : public Object {
 public:
  explicit JoinerObject(Value text)
      : Object(ObjectType::kJoiner, "Joiner"), separator(std::move(text)) {}
  const Value separator;
  bool used = false;
};

}  // namespace sluice::gateway::jinja
