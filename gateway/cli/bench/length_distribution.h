// SPDX-License-Identifier: Apache-2.0
// LengthDistribution: lengths in tokens, as --prompt-tokens and --output-tokens describe them.
// Immutable.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/cli/bench/random_stream.h"

namespace sluice::gateway {

class LengthDistribution {
 public:
  // N, uniform:LOW-HIGH, normal:MEAN,DEVIATION or lognormal:MEAN,DEVIATION (both of the lengths,
  // not of their logarithms); the last two may end in ,LOW-HIGH, which lengths are then drawn again
  // to fit. INVALID_ARGUMENT says what it takes.
  static absl::StatusOr<LengthDistribution> Parse(std::string_view text);

  // At least 1.
  int Sample(RandomStream& random) const;
  const std::string& text() const { return text_; }

 private:
  enum class Kind { kUniform, kNormal, kLognormal };
  Kind kind_ = Kind::kUniform;
  double mean_ = 0;
  double deviation_ = 0;
  int low_ = 1;
  int high_ = 1;
  std::string text_;
};

}  // namespace sluice::gateway
