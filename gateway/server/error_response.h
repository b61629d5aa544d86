// SPDX-License-Identifier: Apache-2.0
// The HTTP answers that tell of an error, in OpenAI's shape. Pure functions, any thread.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "gateway/server/http_message.h"

namespace sluice::gateway {

// For what the transport itself refuses, before any field was read.
HttpResponse ErrorResponse(int status, std::string_view message);

// The answer to a request that failed; with Retry-After when the status says how long to wait, or
// when trying again soon makes sense. REQUIRES: not OK.
HttpResponse ErrorResponse(const absl::Status& status);

}  // namespace sluice::gateway
