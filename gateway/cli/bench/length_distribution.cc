// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/length_distribution.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sluice::gateway {
namespace {

constexpr int kLongest = 10'000'000;
// Bounds far out in a tail: rather clip than draw for ever.
constexpr int kMostDraws = 1000;

std::optional<int> ParseLength(absl::string_view text) {
  int value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < 1 || value > kLongest) return std::nullopt;
  return value;
}

bool ParseRange(absl::string_view text, int* low, int* high) {
  const std::vector<absl::string_view> ends = absl::StrSplit(text, '-');
  if (ends.size() != 2) return false;
  const std::optional<int> first = ParseLength(ends[0]);
  const std::optional<int> last = ParseLength(ends[1]);
  if (!first.has_value() || !last.has_value() || *first > *last) return false;
  *low = *first;
  *high = *last;
  return true;
}

bool ParsePositive(absl::string_view text, double* value) {
  return absl::SimpleAtod(text, value) && *value > 0 && *value <= kLongest;
}

}  // namespace

absl::StatusOr<LengthDistribution> LengthDistribution::Parse(std::string_view text) {
  absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("lengths are N, uniform:LOW-HIGH, normal:MEAN,DEVIATION[,LOW-HIGH] or "
                   "lognormal:MEAN,DEVIATION[,LOW-HIGH], in tokens from 1 to ",
                   kLongest, ", not '", std::string(text), "'"));
  LengthDistribution lengths;
  lengths.text_ = text;
  const size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  if (colon == std::string_view::npos) {
    const std::optional<int> length = ParseLength({text.data(), text.size()});
    if (!length.has_value()) return wrong;
    lengths.low_ = lengths.high_ = *length;
    return lengths;
  }
  const std::string_view rest = text.substr(colon + 1);
  const absl::string_view arguments(rest.data(), rest.size());
  if (kind == "uniform") {
    if (!ParseRange(arguments, &lengths.low_, &lengths.high_)) return wrong;
    return lengths;
  }
  if (kind != "normal" && kind != "lognormal") return wrong;
  lengths.kind_ = kind == "normal" ? Kind::kNormal : Kind::kLognormal;
  lengths.high_ = kLongest;
  const std::vector<absl::string_view> parts = absl::StrSplit(arguments, ',');
  if (parts.size() < 2 || parts.size() > 3 || !ParsePositive(parts[0], &lengths.mean_) ||
      !ParsePositive(parts[1], &lengths.deviation_)) {
    return wrong;
  }
  if (parts.size() == 3 && !ParseRange(parts[2], &lengths.low_, &lengths.high_)) return wrong;
  return lengths;
}

int LengthDistribution::Sample(RandomStream& random) const {
  if (kind_ == Kind::kUniform) {
    const auto span = static_cast<uint64_t>(high_ - low_) + 1;
    return low_ + static_cast<int>(random.Below(span));
  }
  // Of the normal distribution whose exponential has this mean and deviation.
  const double variance = std::log1p((deviation_ * deviation_) / (mean_ * mean_));
  const double location = std::log(mean_) - variance / 2;
  double length = 0;
  for (int draw = 0; draw < kMostDraws; ++draw) {
    length = kind_ == Kind::kNormal ? random.Normal(mean_, deviation_)
                                    : std::exp(random.Normal(location, std::sqrt(variance)));
    length = std::round(length);
    if (length >= low_ && length <= high_) break;
  }
  return static_cast<int>(std::clamp<double>(length, low_, high_));
}

}  // namespace sluice::gateway
