// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/error.h"

#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "gateway/openai/json_writer.h"

namespace sluice::gateway {
namespace {

constexpr char kParamUrl[] = "sluice/openai-param";
constexpr char kCodeUrl[] = "sluice/openai-code";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

absl::Status WithPayload(absl::Status status, const char* url, std::string_view value) {
  if (!status.ok()) status.SetPayload(url, absl::Cord(View(value)));
  return status;
}

std::string Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  return payload ? std::string(*payload) : std::string();
}

const char* ErrorType(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    case 504:
      return "timeout_error";
    default:
      return http_status < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

absl::Status FieldError(std::string_view param, std::string_view message) {
  return WithParam(absl::InvalidArgumentError(absl::StrCat(View(param), " ", View(message))),
                   param);
}

absl::Status WithParam(absl::Status status, std::string_view param) {
  return WithPayload(std::move(status), kParamUrl, param);
}

absl::Status WithErrorCode(absl::Status status, std::string_view code) {
  return WithPayload(std::move(status), kCodeUrl, code);
}

std::string ErrorParam(const absl::Status& status) { return Payload(status, kParamUrl); }

std::string ErrorCode(const absl::Status& status) { return Payload(status, kCodeUrl); }

int HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

std::string ErrorBody(int http_status, std::string_view message, std::string_view param,
                      std::string_view code) {
  JsonWriter json;
  json.BeginObject().Key("error").BeginObject();
  json.Key("message").String(message);
  json.Key("type").String(ErrorType(http_status));
  json.Key("param").StringOrNull(param);
  json.Key("code").StringOrNull(code);
  json.EndObject().EndObject();
  return json.Take();
}

std::string ErrorBody(const absl::Status& status) {
  const absl::string_view message = status.message();
  return ErrorBody(HttpStatusOf(status), std::string_view(message.data(), message.size()),
                   ErrorParam(status), ErrorCode(status));
}

}  // namespace sluice::gateway
