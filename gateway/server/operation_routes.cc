// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/operation_routes.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/server/error_response.h"

namespace sluice::gateway {

void AddOperationRoutes(const OperationRoutes& routes, Router& router) {
  const auto text = [](HttpExchange& exchange, std::string body, std::string content_type) {
    HttpResponse response;
    response.content_type = std::move(content_type);
    response.body = std::move(body);
    exchange.Respond(std::move(response));
  };
  const auto ready = [text, readiness = routes.readiness](
                         const std::shared_ptr<HttpExchange>& exchange, const std::string&) {
    const absl::Status status = readiness();
    if (status.ok()) return text(*exchange, "ok\n", "text/plain; charset=utf-8");
    exchange->Respond(ErrorResponse(status));
  };
  router.Add("GET", "/health", ready);
  router.Add("GET", "/readyz", ready);
  router.Add("GET", "/livez",
             [text](const std::shared_ptr<HttpExchange>& exchange, const std::string&) {
               text(*exchange, "ok\n", "text/plain; charset=utf-8");
             });
  router.Add("GET", "/metrics",
             [text, metrics = routes.metrics](const std::shared_ptr<HttpExchange>& exchange,
                                              const std::string&) {
               text(*exchange, metrics(), "text/plain; version=0.0.4; charset=utf-8");
             });
  router.Add("GET", "/version",
             [text, version = routes.version](const std::shared_ptr<HttpExchange>& exchange,
                                              const std::string&) {
               text(*exchange, absl::StrCat("{\"version\":\"", version, "\"}"), "application/json");
             });
}

}  // namespace sluice::gateway
