// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 connection: a coroutine on its own strand that reads a request, lets the router
// answer it, writes the answer while watching for the client's going away, and starts again.
// Private to http_server.cc: it brings Asio along.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include <boost/asio/generic/stream_protocol.hpp>

#include "gateway/server/http_server.h"

namespace sluice::gateway {

// What all connections of a server share. Outlives them.
struct HttpConnectionContext {
  HttpServerOptions options;
  std::shared_ptr<const Router> router;
  std::atomic<int64_t> answering{0};
  std::atomic<int64_t> received_bytes{0};
  std::atomic<int64_t> sent_bytes{0};
};

// TCP, or one end of a Unix pair in tests. Its executor is a strand.
using HttpSocket = boost::asio::generic::stream_protocol::socket;

class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  // Thread safe; the coroutine ends soon after.
  virtual void Close() = 0;
};

// Starts the coroutine, which keeps the connection alive; on_end is called once, last, on its
// strand.
std::shared_ptr<HttpConnection> StartHttpConnection(HttpSocket socket,
                                                    HttpConnectionContext& context,
                                                    std::function<void(HttpConnection*)> on_end);

}  // namespace sluice::gateway
