// SPDX-License-Identifier: Apache-2.0
// A blocking HTTP/1.1 request whose body may stream in and which a file descriptor can interrupt:
// what a terminal needs of HTTP. Each call opens and closes its own connection. Plain http only.
// Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::gateway {

struct HttpUrl {
  std::string host;
  std::string port;
  std::string path;  // without a trailing slash; empty for the root
};

// http://HOST[:PORT][/PATH], IPv6 hosts in brackets. INVALID_ARGUMENT says what is wrong with
// anything else.
absl::StatusOr<HttpUrl> ParseHttpUrl(std::string_view text);

struct HttpRequest {
  HttpUrl url;
  std::string target;        // appended to url.path: "/v1/models"
  std::string body;          // JSON; a GET when empty, else a POST
  std::string bearer_token;  // none when empty
};

struct HttpLimits {
  std::chrono::milliseconds connect{5000};
  // Longest silence: from the request to the first byte, and between bytes. 0: none, since a queued
  // request waits as long as the server lets it.
  std::chrono::milliseconds silence{0};
  // When it becomes readable, the request ends with CANCELLED. -1: none.
  int interrupt_fd = -1;
};

// Called with the status code and each piece of the body, in order.
using HttpBodyReader = std::function<void(int status, std::string_view piece)>;

// The status code, once the body has ended. UNAVAILABLE when the server cannot be reached or goes
// away, DEADLINE_EXCEEDED when a limit passes, CANCELLED when interrupted.
absl::StatusOr<int> Fetch(const HttpRequest& request, const HttpLimits& limits,
                          const HttpBodyReader& on_body);

}  // namespace sluice::gateway
