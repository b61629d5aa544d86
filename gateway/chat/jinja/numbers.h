// SPDX-License-Identifier: Apache-2.0
// Python's int(), float() and round() on values, as the filters of these names and string
// formatting use them. Pure functions; any thread.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

// int(text, base); absent where Python raises a ValueError. Base 0 reads the prefix.
std::optional<Value> IntFromText(std::string_view text, int64_t base);
// float(text); absent where Python raises a ValueError.
std::optional<double> FloatFromText(std::string_view text);
// int(real): the integer part. REQUIRES: finite.
Value IntegerPart(double real);
// round(value, digits), to even. INVALID_ARGUMENT for what is not a number.
absl::StatusOr<Value> Round(const Value& value, int64_t digits);

}  // namespace sluice::gateway::jinja
