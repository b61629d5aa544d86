// SPDX-License-Identifier: Apache-2.0
// Router: method and path to route. Filled before serving starts, then immutable and shared by all
// I/O threads. It also answers what needs no route: 404, 405 with Allow, OPTIONS, and whatever its
// gate refuses.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/server/http_exchange.h"
#include "gateway/server/http_message.h"

namespace sluice::gateway {

// Called on an I/O thread: it must not block. `tail` is what a trailing "*" of the pattern matched,
// decoded.
using Route = std::function<void(std::shared_ptr<HttpExchange> exchange, std::string tail)>;

class Router {
 public:
  // A pattern is an exact path, or a prefix that ends in "*" (at least one character must follow
  // the prefix). GET routes answer HEAD too.
  void Add(std::string method, std::string pattern, Route route);

  // Looks at the head of every request before its body is read, and may refuse it (keys, draining).
  void SetGate(std::function<std::optional<HttpResponse>(const HttpRequest& head)> gate);

  // What the head alone decides: no such path, wrong method, OPTIONS, the gate's refusal. Nothing:
  // read the body and call Serve.
  std::optional<HttpResponse> Answer(const HttpRequest& head) const;

  // REQUIRES: Answer returned nothing for this request.
  void Serve(std::shared_ptr<HttpExchange> exchange) const;

 private:
  struct Entry {
    std::string method;
    std::string pattern;
    Route route;
  };
  const Entry* Find(std::string_view method, std::string_view path, std::string* allowed) const;

  std::vector<Entry> entries_;
  std::function<std::optional<HttpResponse>(const HttpRequest&)> gate_;
};

// Percent-decoding; nothing when a '%' is not followed by two hexadecimal digits.
std::optional<std::string> PercentDecode(std::string_view text);

}  // namespace sluice::gateway
