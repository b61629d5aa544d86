// SPDX-License-Identifier: Apache-2.0
// The `loop` variable of a for loop. It draws the items itself, at most one ahead of the body (for
// loop.last and loop.nextitem), so that a filter on the loop sees what the body did before. One
// render, one thread.
#pragma once

#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/call_args.h"
#include "gateway/chat/jinja/object.h"
#include "gateway/chat/jinja/runtime.h"

namespace sluice::gateway::jinja {

class LoopObject : public Object {
 public:
  // next yields the next item, or nothing at the end. `length` is absent where only reading to the
  // end tells it.
  using NextFn = std::function<absl::StatusOr<std::optional<Value>>()>;
  LoopObject(NextFn next, std::optional<int64_t> length, int64_t depth0)
      : Object(ObjectType::kLoop, "LoopContext"),
        next_(std::move(next)),
        length_(length),
        depth0_(depth0) {}

  // Moves to the next item; nothing at the end.
  absl::StatusOr<std::optional<Value>> Advance();
  int64_t depth0() const { return depth0_; }
  int64_t index0() const { return index0_; }
  void set_recurse(std::function<absl::StatusOr<Value>(const Value&)> recurse) {
    recurse_ = std::move(recurse);
  }
  // loop(items) of a recursive loop.
  absl::StatusOr<Value> Recurse(const Value& items) const;
  // An attribute, or missing where there is no such attribute.
  absl::StatusOr<Value> Attribute(std::string_view name);
  absl::StatusOr<Value> Cycle(const CallArgs& args) const;
  Value Changed(const CallArgs& args);

 private:
  absl::StatusOr<std::optional<Value>> Peek();
  absl::StatusOr<int64_t> TotalLength();

  NextFn next_;
  std::function<absl::StatusOr<Value>(const Value&)> recurse_;
  std::optional<int64_t> length_;
  const int64_t depth0_;
  int64_t index0_ = -1;
  Value current_;
  Value previous_;
  std::vector<Value> ahead_;  // items read before their turn, the next one last
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace sluice::gateway::jinja
