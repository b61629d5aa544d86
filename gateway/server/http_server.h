// SPDX-License-Identifier: Apache-2.0
// HttpServer: listens, and runs one coroutine per connection on a few I/O threads. It owns framing,
// limits and timeouts; what a request means is the Router's business. Created, stopped and
// destroyed by main.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/server/router.h"

namespace sluice::gateway {

struct HttpServerOptions {
  std::string listen =
      "0.0.0.0";  // address; "::" listens on IPv6 and, where the system allows, IPv4
  int port = 0;   // 0: picked free
  int num_threads = 2;
  int max_connections = 4096;  // further ones are closed at once
  size_t max_header_bytes = 32 * 1024;
  size_t max_body_bytes = 16 * 1024 * 1024;
  size_t max_unsent_bytes =
      4 * 1024 * 1024;        // of one streamed answer, before its client counts as stuck
  int send_buffer_bytes = 0;  // SO_SNDBUF; 0: the system's
  // From the first byte of a request to the end of its head, however slowly bytes drip.
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds idle_timeout{75'000};   // between requests of one connection
  std::chrono::milliseconds write_timeout{30'000};  // 64 KiB must leave within it
};

struct HttpServerStats {
  int64_t connections = 0;  // open now
  int64_t answering = 0;    // requests whose answer is not yet sent whole
  int64_t received_bytes = 0;
  int64_t sent_bytes = 0;
};

class HttpServer {
 public:
  // Binds and starts serving. UNAVAILABLE, naming address and port, when it cannot bind.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                           std::shared_ptr<const Router> router);
  ~HttpServer();  // Stop()
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const;
  HttpServerStats stats() const;

  // Closes the listener and every connection, runs the pending OnGone callbacks and joins the
  // threads. Idempotent.
  void Stop();

  // Serves an already connected stream socket (a test's or a fuzzer's end of a pair) and takes it
  // over.
  void AdoptForTest(int fd);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
