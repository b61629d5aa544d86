// SPDX-License-Identifier: Apache-2.0
// JSON from files that strangers wrote: size and nesting are bounded, duplicate keys of an object
// are refused, and syntax errors become statuses that name the file. For the parts that read a
// model folder.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json_fwd.hpp"

namespace sluice::worker {

inline constexpr int kMaxJsonDepth = 64;

// Reads a whole file. NOT_FOUND when it does not exist; INVALID_ARGUMENT when it is larger than
// max_bytes.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes);

// what names the text in messages ("config.json"). The result's top level is an object.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text, const std::string& what);

}  // namespace sluice::worker
