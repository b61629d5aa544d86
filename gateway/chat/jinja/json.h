// SPDX-License-Identifier: Apache-2.0
// JSON as Python's json module reads and writes it: order kept, the last of equal keys wins,
// integers exact at any size, floats as repr prints them, NaN and Infinity accepted and written.
// Stricter in one point: a lone surrogate escape is refused, since the text could not be sent
// anywhere. Depth is bounded. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/chat/jinja/text.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

// INVALID_ARGUMENT with the byte offset. Strings belong to `origin`.
absl::StatusOr<Value> ParseJson(std::string_view text, Origin origin);

// An integer literal (digits with an optional '-') of any size; up to 4,300 digits, as Python
// allows.
absl::StatusOr<Value> ParseInteger(std::string_view digits);
// The double nearest to a decimal literal that is known to be well formed; infinite where it is too
// large.
double ParseDouble(std::string_view literal);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<Text> indent;  // one level; absent: everything on one line
  Text item_separator{", ", Origin::kUser};
  Text key_separator{": ", Origin::kUser};
};

// json.dumps(value). INVALID_ARGUMENT for values that JSON does not have.
absl::Status AppendJson(const Value& value, const JsonStyle& style, Text* out);

}  // namespace sluice::gateway::jinja
