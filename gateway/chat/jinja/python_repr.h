// SPDX-License-Identifier: Apache-2.0
// Python's str() and repr() of values: what {{ x }}, ~ and the string filter print. Strings keep
// who wrote them; what the functions themselves write (brackets, quotes, digits) counts as the
// user's. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/chat/jinja/text.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

std::string ReprFloat(double value);            // 1.0, 1e-05, inf, nan
std::string ReprString(std::string_view text);  // quoted as Python quotes it

// str(value). INVALID_ARGUMENT for what has no printable form that means anything (a macro, a
// generator, a range).
absl::StatusOr<Text> ToText(const Value& value);
absl::Status AppendText(const Value& value, Text* out);
// repr(value), appended.
absl::Status AppendRepr(const Value& value, Text* out);

}  // namespace sluice::gateway::jinja
