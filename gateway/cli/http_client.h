// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 as the terminal's commands need it, plain http only. Fetch: one request that blocks,
// whose body may stream in and which a file descriptor can interrupt. HttpClient: any number of
// requests at once on the caller's thread, for `sluice bench`.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
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

// The status code, once the body has ended. Opens and closes a connection of its own. UNAVAILABLE
// when the server cannot be reached or goes away, DEADLINE_EXCEEDED when a limit passes, CANCELLED
// when interrupted. Any thread.
absl::StatusOr<int> Fetch(const HttpRequest& request, const HttpLimits& limits,
                          const HttpBodyReader& on_body);

struct HttpReply {
  int status = 0;
  std::string retry_after;  // that header as the server sent it; empty: none
};
// Called once, after the last piece of the body. Errors as Fetch's; CANCELLED after HttpCancel.
using HttpEndReader = std::function<void(const absl::StatusOr<HttpReply>& reply)>;
// Ends a request early; does nothing once it has ended.
using HttpCancel = std::function<void()>;

// Keeps connections open and uses them again; as many as requests run at once. Single threaded:
// callbacks run inside RunOnce, and may Send.
class HttpClient {
 public:
  // Looks the host up, blocking. UNAVAILABLE when it is not found. `limits.interrupt_fd` is not
  // looked at.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(const HttpUrl& server,
                                                            const HttpLimits& limits);
  // Requests that still run are dropped without a word.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // `request.url` must be the server's. A request whose kept connection turns out closed before a
  // byte of the answer came goes out once more on a new one.
  HttpCancel Send(HttpRequest request, HttpBodyReader on_body, HttpEndReader on_end);
  // Waits until `deadline` for something to happen, and handles what has.
  void RunOnce(std::chrono::steady_clock::time_point deadline);

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
