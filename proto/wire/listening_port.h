// SPDX-License-Identifier: Apache-2.0
// Asks the system for a port before gRPC does, which says why it is refused only in its own log.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace sluice::wire {

// OK when something may listen on host:port now; port 0 always is. Else UNAVAILABLE with the
// system's reason ("Address already in use"). Another process may still take the port in between.
// host: a numeric address or a name. Blocks while the name is resolved.
absl::Status CheckCanListen(const std::string& host, int port);

}  // namespace sluice::wire
