// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/budget.h"

#include "absl/strings/str_cat.h"

namespace sluice::gateway::jinja {

absl::Status Budget::StepsSpent() const {
  return absl::InvalidArgumentError(
      absl::StrCat("the template takes more than ", limits_.max_steps, " steps; send less"));
}

absl::Status Budget::MemorySpent() const {
  return absl::InvalidArgumentError(absl::StrCat("the template builds more than ",
                                                 limits_.max_allocated_bytes,
                                                 " bytes of values; send less"));
}

absl::Status Budget::CheckOutput(size_t bytes) const {
  if (bytes <= limits_.max_output_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the rendered text exceeds ", limits_.max_output_bytes, " bytes; send less"));
}

absl::Status Budget::Enter() {
  if (++depth_ <= limits_.max_depth) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the template nests deeper than ", limits_.max_depth, " levels"));
}

}  // namespace sluice::gateway::jinja
