// SPDX-License-Identifier: Apache-2.0
// ApiKeys: the bearer tokens that may use the API; none configured means that everyone may.
// Immutable after Load, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::gateway {

class ApiKeys {
 public:
  ApiKeys() = default;
  // One key a line; empty lines and lines that begin with '#' are skipped. INVALID_ARGUMENT, naming
  // the file and the line but never the key, for a key that no client could send; NOT_FOUND for a
  // file that cannot be read.
  static absl::StatusOr<ApiKeys> Load(const std::string& path);

  bool empty() const { return keys_.empty(); }

  // UNAUTHENTICATED unless `authorization` ("Bearer KEY") holds one of the keys. Compares in a time
  // that does not depend on how much of a key is right.
  absl::Status Check(std::string_view authorization) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace sluice::gateway
