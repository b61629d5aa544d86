// SPDX-License-Identifier: Apache-2.0
// ResponseQueue: the bytes of one answer between the route that makes them, on any thread, and the
// connection that sends them, on its strand. It frames (chunks, or until close for HTTP/1.0), keeps
// the bound on unsent bytes, and tells the route once when the client is gone. No Asio: the
// connection gives it a way to be woken.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "gateway/server/http_exchange.h"

namespace sluice::gateway {

// How the connection wants this answer framed.
struct ResponseFraming {
  bool http_1_0 = false;   // no chunks: a streamed body ends with the connection
  bool head_only = false;  // HEAD: the head of the answer, without the body
  bool keep_alive = true;  // what the request allows; a streamed HTTP/1.0 answer closes anyway
  size_t max_unsent_bytes = 0;
};

// Head and body of a whole answer, as they go over the wire. Every head carries `request_id`.
std::string SerializeResponse(const HttpResponse& response, std::string_view request_id,
                              bool head_only, bool keep_alive);

class ResponseQueue : public HttpExchange {
 public:
  ResponseQueue(HttpRequest request, ResponseFraming framing, std::function<void()> wake);
  ~ResponseQueue() override = default;

  const HttpRequest& request() const override { return request_; }
  void Respond(HttpResponse response) override;
  void StartStream(HttpResponse head) override;
  void Write(std::string_view bytes) override;
  void FinishStream() override;
  void OnGone(std::function<void()> callback) override;

  // The connection's side.
  struct Batch {
    std::string bytes;      // up to max_bytes of what waits
    bool complete = false;  // nothing follows these bytes
    bool gone = false;      // the answer will never be complete
  };
  Batch Take(size_t max_bytes);
  // The client is gone, or the answer was sent whole: the queue lets go of the connection either
  // way. Gone when the answer was not complete; then the route's callback runs, on this thread.
  void Detach();
  // The route dropped the exchange without an answer.
  void Abandon();
  // Whether the connection can carry another request after this answer.
  bool keep_alive() const;

 private:
  void AppendLocked(std::string bytes);
  // Runs the callback of OnGone, if any, outside the lock.
  void TellGone();

  const HttpRequest request_;
  const ResponseFraming framing_;

  mutable std::mutex mu_;
  // Guarded by mu_.
  std::function<void()> wake_;  // empty once detached
  std::function<void()> on_gone_;
  std::string unsent_;
  size_t unsent_begin_ = 0;  // bytes of unsent_ already taken
  bool started_ = false;
  bool complete_ = false;  // the last byte was queued
  bool gone_ = false;
  bool cut_ = false;  // nothing will be added, and the last byte is missing
  bool chunked_ = false;
  bool keep_alive_ = true;
};

}  // namespace sluice::gateway
