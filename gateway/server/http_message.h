// SPDX-License-Identifier: Apache-2.0
// HttpRequest and HttpResponse: whole HTTP messages as plain data, so that routes and their tests
// need neither sockets nor Beast. The connection fills the request and frames the response.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/server/request_identity.h"

namespace sluice::gateway {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;   // as sent: methods are case sensitive
  std::string path;     // before '?', still percent-encoded
  std::string query;    // after '?', still percent-encoded
  HttpHeaders headers;  // names in lower case, in order of arrival
  std::string body;
  RequestIdentity identity;  // of its head; its shown_id goes into the answer's

  // The first header of that name (give it in lower case); empty when there is none.
  std::string_view Header(std::string_view lower_case_name) const {
    for (const auto& [name, value] : headers) {
      if (name == lower_case_name) return value;
    }
    return {};
  }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers;  // besides Content-Type, Content-Length, Connection, Date and
                        // X-Request-Id, which the connection writes
  std::string body;
};

}  // namespace sluice::gateway
