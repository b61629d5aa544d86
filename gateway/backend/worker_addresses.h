// SPDX-License-Identifier: Apache-2.0
// What --workers says: a list of host:port, or one dns:///name:port, whose every address is a
// group's leader (a headless Kubernetes service). Pure but for Resolve.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::gateway {

struct WorkerAddresses {
  std::vector<std::string> fixed;  // host:port, an IPv6 host in brackets
  std::string dns_name;            // empty: none
  std::string dns_port;

  // INVALID_ARGUMENT naming the entry.
  static absl::StatusOr<WorkerAddresses> Parse(std::string_view text);

  // The addresses that the name has now, as ip:port, sorted. Blocks as long as the system's
  // resolver does. UNAVAILABLE when it has none.
  absl::StatusOr<std::vector<std::string>> Resolve() const;
};

}  // namespace sluice::gateway
