// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/router.h"

#include <utility>

#include "gateway/server/error_response.h"

namespace sluice::gateway {
namespace {

bool Matches(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with('*')) return pattern == path;
  pattern.remove_suffix(1);
  return path.size() > pattern.size() && path.starts_with(pattern);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

void Router::Add(std::string method, std::string pattern, Route route) {
  entries_.push_back({std::move(method), std::move(pattern), std::move(route)});
}

void Router::SetGate(std::function<std::optional<HttpResponse>(const HttpRequest& head)> gate) {
  gate_ = std::move(gate);
}

const Router::Entry* Router::Find(std::string_view method, std::string_view path,
                                  std::string* allowed) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const Entry& entry : entries_) {
    if (!Matches(entry.pattern, path)) continue;
    if (entry.method == wanted) return &entry;
    if (!allowed->empty()) *allowed += ", ";
    *allowed += entry.method == "GET" ? "GET, HEAD" : entry.method;
  }
  return nullptr;
}

std::optional<HttpResponse> Router::Answer(const HttpRequest& head) const {
  std::string allowed;
  if (Find(head.method, head.path, &allowed) == nullptr) {
    if (allowed.empty()) {
      return ErrorResponse(404, "there is no " + head.path + " here");
    }
    allowed += ", OPTIONS";
    HttpResponse response;
    if (head.method == "OPTIONS") {
      response.status = 204;
    } else {
      response =
          ErrorResponse(405, head.path + " does not take " + head.method + ", only " + allowed);
    }
    response.headers.emplace_back("Allow", allowed);
    return response;
  }
  if (gate_) return gate_(head);
  return std::nullopt;
}

void Router::Serve(std::shared_ptr<HttpExchange> exchange) const {
  const HttpRequest& request = exchange->request();
  std::string allowed;
  const Entry* entry = Find(request.method, request.path, &allowed);
  std::string tail;
  if (entry->pattern.ends_with('*')) {
    std::optional<std::string> decoded =
        PercentDecode(std::string_view(request.path).substr(entry->pattern.size() - 1));
    if (!decoded) {
      exchange->Respond(ErrorResponse(400, "bad percent-encoding in the path " + request.path));
      return;
    }
    tail = *std::move(decoded);
  }
  entry->route(std::move(exchange), std::move(tail));
}

}  // namespace sluice::gateway
