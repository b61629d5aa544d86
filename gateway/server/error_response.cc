// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/error_response.h"

#include <nlohmann/json.hpp>

namespace sluice::gateway {

HttpResponse ErrorResponse(int status, std::string_view message) {
  nlohmann::ordered_json error;
  error["message"] = message;
  error["type"] = status < 500 ? "invalid_request_error" : "server_error";
  error["param"] = nullptr;
  error["code"] = nullptr;
  nlohmann::ordered_json body;
  body["error"] = std::move(error);
  HttpResponse response;
  response.status = status;
  response.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

}  // namespace sluice::gateway
