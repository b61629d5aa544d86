// SPDX-License-Identifier: Apache-2.0
// Escapes in the string literals of templates, as Python's unicode-escape decodes them. Pure; any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::gateway::jinja {

// What stands between the quotes, with \n, \x41, \u00e9 and so on resolved; an unknown escape keeps
// its backslash. INVALID_ARGUMENT for truncated escapes, for surrogates and for \N{...}.
absl::StatusOr<std::string> UnescapeStringLiteral(std::string_view body);

}  // namespace sluice::gateway::jinja
