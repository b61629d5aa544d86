// SPDX-License-Identifier: Apache-2.0
#include "proto/wire/metadata.h"

#include <algorithm>

namespace sluice::wire {

std::optional<std::string> ClientMetadata(const grpc::ServerContextBase& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  const grpc::string_ref value = found->second;
  if (value.empty() || value.size() > kMaxMetadataBytes) return std::nullopt;
  const bool printable =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  if (!printable) return std::nullopt;
  return std::string(value.begin(), value.end());
}

}  // namespace sluice::wire
