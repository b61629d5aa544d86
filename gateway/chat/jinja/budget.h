// SPDX-License-Identifier: Apache-2.0
// Budget: the bounds of one render. A template is data from a model folder and works on data from a
// client, so its steps, its memory, its output and its depth all end somewhere, with an error.
// Owned by the render; one thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace sluice::gateway::jinja {

struct Limits {
  uint64_t max_steps = 5'000'000;  // nodes evaluated, plus one for every 256 bytes made
  uint64_t max_allocated_bytes =
      1 << 30;  // of all strings and lists made, whether still alive or not
  size_t max_output_bytes = 64 << 20;
  uint32_t max_depth = 600;  // evaluator calls within each other: expressions, blocks and macros
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}

  const Limits& limits() const { return limits_; }

  absl::Status Step(uint64_t steps = 1) {
    steps_ += steps;
    if (steps_ > limits_.max_steps) return StepsSpent();
    return absl::OkStatus();
  }
  // To be called before making a string, list or dict of about this size.
  absl::Status Allocate(uint64_t bytes) {
    allocated_ += bytes;
    if (allocated_ > limits_.max_allocated_bytes) return MemorySpent();
    return Step(bytes / 256);
  }
  absl::Status CheckOutput(size_t bytes) const;
  // Depth of evaluator calls: Enter before going down; Leave after.
  absl::Status Enter();
  void Leave() { --depth_; }

 private:
  absl::Status StepsSpent() const;
  absl::Status MemorySpent() const;

  const Limits limits_;
  uint64_t steps_ = 0;
  uint64_t allocated_ = 0;
  uint32_t depth_ = 0;
};

}  // namespace sluice::gateway::jinja
