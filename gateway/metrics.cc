// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics.h"

#include <utility>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace sluice::gateway {

namespace {

using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

// From a cached answer on a GPU to a long queue on a laptop.
const Histogram::BucketBoundaries kFirstTokenSeconds = {0.01, 0.02, 0.05, 0.1,  0.2,  0.5,  1.0,
                                                        2.0,  5.0,  10.0, 20.0, 60.0, 120.0};
const Histogram::BucketBoundaries kInterTokenSeconds = {
    0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0};
const Histogram::BucketBoundaries kRequestSeconds = {0.01, 0.05, 0.1,  0.5,   1.0,   2.0,   5.0,
                                                     10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0};
const Histogram::BucketBoundaries kTokens = {1,    8,    32,   128,   512,   1024,
                                             2048, 4096, 8192, 16384, 32768, 131072};

// A number that somebody else keeps, as a family of its own.
MetricFamily Snapshot(const char* name, const char* help, MetricType type, double value,
                      std::vector<prometheus::ClientMetric::Label> labels = {}) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return MetricFamily{name, help, type, {std::move(metric)}};
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      prometheus::BuildCounter()
          .Name("sluice_gateway_requests_total")
          .Help("Requests that ended, by route and outcome")
          .Register(registry);
  prometheus::Family<prometheus::Gauge>& running =
      prometheus::BuildGauge()
          .Name("sluice_gateway_running_requests")
          .Help("Requests accepted and not ended, by route")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& request_seconds =
      prometheus::BuildHistogram()
          .Name("sluice_gateway_request_duration_seconds")
          .Help("From a request's arrival to its end, by route")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& first_token_seconds =
      prometheus::BuildHistogram()
          .Name("sluice_gateway_time_to_first_token_seconds")
          .Help("From a request's arrival to the first text of its answer, by route")
          .Register(registry);
  prometheus::Histogram& inter_token_seconds =
      prometheus::BuildHistogram()
          .Name("sluice_gateway_inter_token_latency_seconds")
          .Help("Between two tokens of one choice")
          .Register(registry)
          .Add({}, kInterTokenSeconds);
  prometheus::Family<prometheus::Counter>& tokens =
      prometheus::BuildCounter()
          .Name("sluice_gateway_tokens_total")
          .Help(
              "Tokens of ended requests: prompt (in), cached (the part of it found in the prefix "
              "cache), completion (out), reasoning (the part of it spent thinking)")
          .Register(registry);
  prometheus::Counter& prompt_tokens = tokens.Add({{"kind", "prompt"}});
  prometheus::Counter& cached_tokens = tokens.Add({{"kind", "cached"}});
  prometheus::Counter& completion_tokens = tokens.Add({{"kind", "completion"}});
  prometheus::Counter& reasoning_tokens = tokens.Add({{"kind", "reasoning"}});
  prometheus::Histogram& request_prompt_tokens =
      prometheus::BuildHistogram()
          .Name("sluice_gateway_request_prompt_tokens")
          .Help("Prompt tokens of a request that ended well")
          .Register(registry)
          .Add({}, kTokens);
  prometheus::Histogram& request_completion_tokens =
      prometheus::BuildHistogram()
          .Name("sluice_gateway_request_completion_tokens")
          .Help("Generated tokens of a request that ended well")
          .Register(registry)
          .Add({}, kTokens);
  prometheus::Counter& cancelled = prometheus::BuildCounter()
                                       .Name("sluice_gateway_cancelled_requests_total")
                                       .Help(
                                           "Requests whose client left, or stopped reading, before "
                                           "the end: their work was freed")
                                       .Register(registry)
                                       .Add({});
  prometheus::Family<prometheus::Gauge>& startup_seconds =
      prometheus::BuildGauge()
          .Name("sluice_gateway_startup_seconds")
          .Help("How long each phase of starting took")
          .Register(registry);
  std::function<HttpServerStats()> http;
  std::function<WorkerPoolStats()> pool;
};

Metrics::Metrics(const std::string& version) : impl_(std::make_unique<Impl>()) {
  prometheus::BuildGauge()
      .Name("sluice_gateway_build_info")
      .Help("Always 1; the version is a label")
      .Register(impl_->registry)
      .Add({{"version", version}})
      .Set(1);
}

Metrics::~Metrics() = default;

void Metrics::OnStart(std::string_view route) {
  impl_->running.Add({{"route", std::string(route)}}).Increment();
}

void Metrics::OnFirstToken(std::string_view route, double seconds) {
  impl_->first_token_seconds.Add({{"route", std::string(route)}}, kFirstTokenSeconds)
      .Observe(seconds);
}

void Metrics::OnInterToken(double seconds, int tokens) {
  for (int i = 0; i < tokens; ++i) impl_->inter_token_seconds.Observe(seconds);
}

void Metrics::OnEnd(const RequestSummary& summary) {
  const std::string route(summary.route);
  impl_->running.Add({{"route", route}}).Decrement();
  impl_->requests.Add({{"route", route}, {"outcome", std::string(summary.outcome)}}).Increment();
  impl_->request_seconds.Add({{"route", route}}, kRequestSeconds).Observe(summary.seconds);
  if (summary.outcome == "cancelled") impl_->cancelled.Increment();
  const ResponseUsage& usage = summary.usage;
  impl_->prompt_tokens.Increment(usage.prompt_tokens);
  impl_->cached_tokens.Increment(usage.cached_tokens);
  impl_->completion_tokens.Increment(usage.completion_tokens);
  impl_->reasoning_tokens.Increment(usage.reasoning_tokens);
  if (summary.outcome == "ok" && usage.completion_tokens > 0) {
    impl_->request_prompt_tokens.Observe(usage.prompt_tokens);
    impl_->request_completion_tokens.Observe(usage.completion_tokens);
  }
}

void Metrics::SetStartupSeconds(const std::string& phase, double seconds) {
  impl_->startup_seconds.Add({{"phase", phase}}).Set(seconds);
}

void Metrics::SetSources(std::function<HttpServerStats()> http,
                         std::function<WorkerPoolStats()> pool) {
  impl_->http = std::move(http);
  impl_->pool = std::move(pool);
}

std::string Metrics::Scrape() const {
  std::vector<MetricFamily> families = impl_->registry.Collect();
  const auto add = [&families](const char* name, const char* help, MetricType type, double value) {
    families.push_back(Snapshot(name, help, type, value));
  };
  if (impl_->http) {
    const HttpServerStats http = impl_->http();
    add("sluice_gateway_http_connections", "Open HTTP connections of the API's port",
        MetricType::Gauge, static_cast<double>(http.connections));
    add("sluice_gateway_http_received_bytes_total", "Bytes received on the API's HTTP port",
        MetricType::Counter, static_cast<double>(http.received_bytes));
    add("sluice_gateway_http_sent_bytes_total", "Bytes sent on the API's HTTP port",
        MetricType::Counter, static_cast<double>(http.sent_bytes));
  }
  if (impl_->pool) {
    const WorkerPoolStats pool = impl_->pool();
    add("sluice_gateway_worker_groups", "Worker groups that --workers names", MetricType::Gauge,
        pool.known_groups);
    add("sluice_gateway_worker_groups_ready", "Worker groups that take requests", MetricType::Gauge,
        pool.ready_groups);
    add("sluice_gateway_worker_calls", "Calls that run on worker groups", MetricType::Gauge,
        pool.running_calls);
    add("sluice_gateway_worker_ejections_total", "Times that a ready worker group was left out",
        MetricType::Counter, static_cast<double>(pool.ejections));
    add("sluice_gateway_worker_retries_total",
        "Calls that moved to another worker group before they started", MetricType::Counter,
        static_cast<double>(pool.retries));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sluice::gateway
