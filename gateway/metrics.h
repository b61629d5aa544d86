// SPDX-License-Identifier: Apache-2.0
// Metrics: the gateway's numbers as Prometheus reads them; docs/operations.md lists the names. The
// only place that knows Prometheus. Owned by main; every method is thread safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/backend/worker_pool.h"
#include "gateway/server/http_server.h"
#include "gateway/server/request_metrics.h"

namespace sluice::gateway {

class Metrics : public RequestMetrics {
 public:
  explicit Metrics(const std::string& version);
  ~Metrics() override;

  void OnStart(std::string_view route) override;
  void OnFirstToken(std::string_view route, double seconds) override;
  void OnInterToken(double seconds, int tokens) override;
  void OnEnd(const RequestSummary& summary) override;

  // How long a phase of starting took ("tokenizer", "chat_template", ...).
  void SetStartupSeconds(const std::string& phase, double seconds);

  // Where numbers come from that others count; asked at every scrape. Set before serving.
  void SetSources(std::function<HttpServerStats()> http, std::function<WorkerPoolStats()> pool);

  // Prometheus's text format, version 0.0.4.
  std::string Scrape() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
