// SPDX-License-Identifier: Apache-2.0
// Who a request is in logs, in the worker and in the answer. Pure functions but for the random
// part; any thread.
#pragma once

#include <string>
#include <string_view>

namespace sluice::gateway {

struct RequestIdentity {
  std::string shown_id;   // X-Request-Id of the answer: the client's own, or the unique one
  std::string unique_id;  // unique among running requests; holds the client's own when it gave one
  std::string traceparent;  // the client's, when it is well formed
};

// `client_id` and `traceparent` as received; what is not a usable value is replaced or dropped.
RequestIdentity IdentifyRequest(std::string_view client_id, std::string_view traceparent);

// W3C Trace Context, version 00's form: 2-32-16-2 lower-case hexadecimal digits.
bool IsTraceparent(std::string_view value);

}  // namespace sluice::gateway
