// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/loop_object.h"

#include <algorithm>

#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {

absl::StatusOr<std::optional<Value>> LoopObject::Advance() {
  std::optional<Value> item;
  if (!ahead_.empty()) {
    item = std::move(ahead_.back());
    ahead_.pop_back();
  } else {
    SLUICE_ASSIGN_OR_RETURN(item, next_());
  }
  if (!item) return item;
  ++index0_;
  previous_ = std::move(current_);
  current_ = *item;
  return item;
}

absl::StatusOr<std::optional<Value>> LoopObject::Peek() {
  if (ahead_.empty()) {
    SLUICE_ASSIGN_OR_RETURN(std::optional<Value> item, next_());
    if (!item) return item;
    ahead_.push_back(*std::move(item));
  }
  return ahead_.back();
}

absl::StatusOr<int64_t> LoopObject::TotalLength() {
  if (length_) return *length_;
  std::vector<Value> rest;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(std::optional<Value> item, next_());
    if (!item) break;
    rest.push_back(*std::move(item));
  }
  std::reverse(rest.begin(), rest.end());
  ahead_.insert(ahead_.begin(), rest.begin(), rest.end());
  length_ = index0_ + 1 + static_cast<int64_t>(ahead_.size());
  return *length_;
}

absl::StatusOr<Value> LoopObject::Attribute(std::string_view name) {
  if (name == "index") return Value::Int(index0_ + 1);
  if (name == "index0") return Value::Int(index0_);
  if (name == "first") return Value::Bool(index0_ == 0);
  if (name == "depth") return Value::Int(depth0_ + 1);
  if (name == "depth0") return Value::Int(depth0_);
  if (name == "previtem") {
    if (index0_ == 0) return Value::UndefinedHint("there is no previous item");
    return previous_;
  }
  if (name == "last" || name == "nextitem") {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<Value> item, Peek());
    if (name == "last") return Value::Bool(!item);
    return item ? *item : Value::UndefinedHint("there is no next item");
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    SLUICE_ASSIGN_OR_RETURN(const int64_t length, TotalLength());
    if (name == "length") return Value::Int(length);
    return Value::Int(length - index0_ - (name == "revindex0" ? 1 : 0));
  }
  return Value();
}

absl::StatusOr<Value> LoopObject::Recurse(const Value& items) const {
  if (recurse_ == nullptr) {
    return absl::InvalidArgumentError("only a loop marked 'recursive' can be called");
  }
  return recurse_(items);
}

absl::StatusOr<Value> LoopObject::Cycle(const CallArgs& args) const {
  if (!args.keyword.empty()) {
    return absl::InvalidArgumentError("loop.cycle takes no named arguments");
  }
  if (args.positional.empty()) return absl::InvalidArgumentError("no items for cycling given");
  return args.positional[static_cast<size_t>(index0_) % args.positional.size()];
}

Value LoopObject::Changed(const CallArgs& args) {
  const std::vector<Value>& now = args.positional;
  const bool same = last_changed_ && std::equal(now.begin(), now.end(), last_changed_->begin(),
                                                last_changed_->end(), Equals);
  if (!same) last_changed_ = now;
  return Value::Bool(!same);
}

}  // namespace sluice::gateway::jinja
