// SPDX-License-Identifier: Apache-2.0
// Names of the gRPC metadata keys that Sluice's processes and their clients agree on, and safe
// reading of what a peer sent under them. Keys are lower case, as gRPC requires. Pure functions,
// any thread.
#pragma once

#include <optional>
#include <string>

#include <grpcpp/server_context.h>

namespace sluice::wire {

// Trailing, with RESOURCE_EXHAUSTED or UNAVAILABLE: milliseconds to wait before the next try, in
// decimal.
inline constexpr char kRetryAfterMetadata[] = "sluice-retry-after-ms";
// Initial: the caller's name for a request; it appears in logs of every process.
inline constexpr char kRequestIdMetadata[] = "x-request-id";
// Initial: W3C trace context, passed on untouched.
inline constexpr char kTraceparentMetadata[] = "traceparent";

// Longest value that ClientMetadata hands out: a peer's metadata ends in logs.
inline constexpr int kMaxMetadataBytes = 256;

// A value the client sent, when it is non-empty, at most kMaxMetadataBytes long and printable
// ASCII; otherwise nothing. The first one counts when the key was sent twice.
std::optional<std::string> ClientMetadata(const grpc::ServerContextBase& context, const char* key);

}  // namespace sluice::wire
