// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/error_response.h"

#include <chrono>
#include <optional>
#include <string>

#include "gateway/openai/error.h"
#include "proto/wire/retry_after.h"

namespace sluice::gateway {

HttpResponse ErrorResponse(int status, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.body = ErrorBody(status, message);
  return response;
}

HttpResponse ErrorResponse(const absl::Status& status) {
  HttpResponse response;
  response.status = HttpStatusOf(status);
  response.body = ErrorBody(status);
  std::optional<std::chrono::milliseconds> wait = wire::RetryAfter(status);
  if (!wait && (response.status == 429 || response.status == 503)) wait = std::chrono::seconds(1);
  if (wait) {
    // The standard header counts whole seconds; OpenAI's clients know the finer one too.
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*wait).count();
    response.headers.emplace_back("Retry-After", std::to_string(seconds));
    response.headers.emplace_back("Retry-After-Ms", std::to_string(wait->count()));
  }
  return response;
}

}  // namespace sluice::gateway
