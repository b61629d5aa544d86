// SPDX-License-Identifier: Apache-2.0
// Errors in OpenAI's shape. Everything inside the gateway speaks absl::Status; the name of the
// offending field and OpenAI's error code travel as payloads of the status, so that one function
// can write the body at the end. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sluice::gateway {

// INVALID_ARGUMENT about one field; the message starts with the field's name. `param` is a path as
// in "messages[2].content[0]".
absl::Status FieldError(std::string_view param, std::string_view message);

// Attaches a param or OpenAI's error code ("model_not_found", "context_length_exceeded"). An OK
// status is returned as it is.
absl::Status WithParam(absl::Status status, std::string_view param);
absl::Status WithErrorCode(absl::Status status, std::string_view code);

// The attached values; empty when absent.
std::string ErrorParam(const absl::Status& status);
std::string ErrorCode(const absl::Status& status);

// INVALID_ARGUMENT 400, UNAUTHENTICATED 401, PERMISSION_DENIED 403, NOT_FOUND 404,
// RESOURCE_EXHAUSTED 429, CANCELLED 499 (the client went away), UNAVAILABLE 503, DEADLINE_EXCEEDED
// 504, UNIMPLEMENTED 501, the rest 500. 413 has no code of its own: the server that refuses a body
// knows it.
int HttpStatusOf(const absl::Status& status);

// {"error":{"message":...,"type":...,"param":...,"code":...}}. Used as the body of an error answer
// and, after the first byte of a stream, as the payload of a `data:` line. `http_status` chooses
// the type.
std::string ErrorBody(int http_status, std::string_view message, std::string_view param = {},
                      std::string_view code = {});
std::string ErrorBody(const absl::Status& status);

}  // namespace sluice::gateway
