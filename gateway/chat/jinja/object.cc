// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/object.h"

namespace sluice::gateway::jinja {

const Value* NamespaceObject::Find(std::string_view name) const {
  for (const auto& [key, value] : attributes_) {
    if (key.str().view() == name) return &value;
  }
  return nullptr;
}

void NamespaceObject::Set(const Value& name, Value value) {
  for (auto& [key, current] : attributes_) {
    if (key.str().view() == name.str().view()) {
      current = std::move(value);
      return;
    }
  }
  attributes_.emplace_back(name, std::move(value));
}

}  // namespace sluice::gateway::jinja
