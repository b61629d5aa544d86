// SPDX-License-Identifier: Apache-2.0
// Python's string formatting: the % operator and, in format_spec, what str.format does with one
// value. Pure but for the budget; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/budget.h"
#include "gateway/chat/jinja/text.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

// format % args. REQUIRES: format is a string.
absl::StatusOr<Value> PercentFormat(const Value& format, const Value& args, Budget* budget);

// How one value is laid out: [[fill]align][sign][#][0][width][grouping][.precision][type].
struct FormatSpec {
  Text fill{" ", Origin::kUser};
  char align = '\0';  // < > ^ =; none: left for strings, right for numbers
  char sign = '-';    // + - space
  bool alternate = false;
  bool zero = false;
  int64_t width = 0;
  char grouping = '\0';  // , or _
  int64_t precision = -1;
  char type = '\0';
};

absl::StatusOr<FormatSpec> ParseFormatSpec(const Text& spec);
// format(value, spec).
absl::StatusOr<Text> FormatOne(const Value& value, const FormatSpec& spec, bool spec_is_empty,
                               Budget* budget);
// The text of a number of type d x X o b e E f F g G or %, without padding; it starts with its
// sign, if any.
absl::StatusOr<std::string> FormatNumber(const Value& value, const FormatSpec& spec);
// Pads to the width. `number` counts as right aligned by default and takes zeros after its sign.
absl::StatusOr<Text> PadTo(const Text& text, const FormatSpec& spec, bool number, Budget* budget);

}  // namespace sluice::gateway::jinja
