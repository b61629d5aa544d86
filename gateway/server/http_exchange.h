// SPDX-License-Identifier: Apache-2.0
// HttpExchange: one request and the writing of its answer, whole or streamed. A route gets it on an
// I/O thread, may keep it, and may call it from any thread; nothing here blocks. Bytes queue up to
// a bound while the client reads slowly: beyond it, and when the client goes away, the exchange is
// "gone" and what is written is dropped. Dropping the last reference without an answer sends a 500.
#pragma once

#include <functional>
#include <string>

#include "gateway/server/http_message.h"

namespace sluice::gateway {

class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  virtual const HttpRequest& request() const = 0;

  // The whole answer. Exactly one of Respond and StartStream is called, once.
  virtual void Respond(HttpResponse response) = 0;

  // The head of a streamed answer (its body, if any, is the first piece); Write appends,
  // FinishStream ends it.
  virtual void StartStream(HttpResponse head) = 0;
  virtual void Write(std::string_view bytes) = 0;
  virtual void FinishStream() = 0;

  // Called once, from an I/O thread or from within Write, when the client went away, stopped
  // reading or let the bound overflow before the answer was complete; at once when that has
  // happened already. The callback must not block and is dropped, uncalled, when the answer is
  // complete.
  virtual void OnGone(std::function<void()> callback) = 0;
};

}  // namespace sluice::gateway
