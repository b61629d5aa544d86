// SPDX-License-Identifier: Apache-2.0
#include "worker/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice::worker {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

const Buckets& StepBuckets() {
  static const Buckets buckets = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
                                  0.2,    0.5,   1.0,   2.0,   5.0,  10.0, 30.0};
  return buckets;
}

const Buckets& RequestBuckets() {
  static const Buckets buckets = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,
                                  1.0,   2.5,   5.0,  10.0,  30.0, 60.0, 120.0};
  return buckets;
}

const Buckets& CountBuckets() {
  static const Buckets buckets = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
  return buckets;
}

// The label values of sluice_requests_total.
const char* Outcome(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return "ok";
    case absl::StatusCode::kCancelled:
      return "cancelled";
    case absl::StatusCode::kDeadlineExceeded:
      return "deadline";
    case absl::StatusCode::kInvalidArgument:
      return "invalid";
    case absl::StatusCode::kResourceExhausted:
      return "overloaded";
    case absl::StatusCode::kUnavailable:
      return "unavailable";
    default:
      return "error";
  }
}

}  // namespace

struct Metrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::unique_ptr<prometheus::Exposer> exposer;
  std::string address;

  Counter& AddCounter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(*registry).Add({});
  }
  Gauge& AddGauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({});
  }
  Histogram& AddHistogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry).Add({}, buckets);
  }

  prometheus::Family<Counter>& requests = prometheus::BuildCounter()
                                              .Name("sluice_requests_total")
                                              .Help("Requests by how they ended.")
                                              .Register(*registry);
  prometheus::Family<Gauge>& startup = prometheus::BuildGauge()
                                           .Name("sluice_startup_seconds")
                                           .Help("Seconds each phase of the start took.")
                                           .Register(*registry);
  Gauge& ready = AddGauge("sluice_ready", "1 while this rank can serve.");
  Gauge& running = AddGauge("sluice_requests_running", "Sequences that hold a row.");
  Gauge& waiting =
      AddGauge("sluice_requests_waiting", "Sequences that wait for a row or for pages.");
  Gauge& pages_used =
      AddGauge("sluice_kv_pages_used",
               "KV pages held by sequences; cached ones that nobody holds do not count.");
  Gauge& pages_cached =
      AddGauge("sluice_kv_pages_cached",
               "KV pages kept for prompts that begin alike; given up when sequences need them.");
  Gauge& pages_total = AddGauge("sluice_kv_pages_total", "KV pages there are.");
  Counter& tokens_in = AddCounter("sluice_prompt_tokens_total", "Prompt ids of ended requests.");
  Counter& tokens_out =
      AddCounter("sluice_generation_tokens_total", "Generated ids of ended requests, as in usage.");
  Counter& dropped =
      AddCounter("sluice_dropped_tokens_total", "Ids generated beyond a stop string.");
  Counter& preemptions =
      AddCounter("sluice_preemptions_total", "Sequences that gave their pages back to run later.");
  Counter& drafted = AddCounter("sluice_speculation_drafted_tokens_total",
                                "Ids guessed by prompt lookup and computed.");
  Counter& accepted = AddCounter("sluice_speculation_accepted_tokens_total",
                                 "Of these, ids that were what the sampler chose.");
  Counter& nan_guard = AddCounter("sluice_nan_guard_total",
                                  "Requests ended because their logits held a NaN or an infinity.");
  Histogram& step =
      AddHistogram("sluice_step_duration_seconds", "One step on this rank.", StepBuckets());
  Histogram& all_reduce = AddHistogram(
      "sluice_all_reduce_duration_seconds",
      "Collectives of one step on this rank, waiting included; on the CPU.", StepBuckets());
  Histogram& batch = AddHistogram("sluice_batch_size", "Sequences in one step.", CountBuckets());
  Histogram& step_tokens =
      AddHistogram("sluice_step_tokens", "Tokens computed in one step.", CountBuckets());
  Histogram& queue_time = AddHistogram(
      "sluice_queue_time_seconds", "Arrival at the worker to the first step.", RequestBuckets());
  Histogram& first_token = AddHistogram("sluice_time_to_first_token_seconds",
                                        "Arrival at the worker to the first id.", RequestBuckets());
  Histogram& duration = AddHistogram("sluice_request_duration_seconds",
                                     "Arrival at the worker to the end.", RequestBuckets());
  Counter& prefix_queried =
      AddCounter("sluice_prefix_cache_queried_tokens_total",
                 "Prompt ids of sequences that looked into the prefix cache.");
  Counter& prefix_hit = AddCounter("sluice_prefix_cache_hit_tokens_total",
                                   "Prompt ids found in the prefix cache instead of computed.");
  SchedulerLoad seen;  // its counters, as last added; engine thread
};

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Listen(const std::string& host, int port) {
  auto families = std::make_unique<Families>();
  const std::string address = absl::StrCat(host, ":", port);
  try {
    families->exposer = std::make_unique<prometheus::Exposer>(address, 1);
    families->address = absl::StrCat(host, ":", families->exposer->GetListeningPorts().front());
  } catch (const std::exception& error) {
    return absl::FailedPreconditionError(absl::StrCat("--metrics-port ", port, ": ", address,
                                                      " cannot be listened on (", error.what(),
                                                      "); is it in use?"));
  }
  families->exposer->RegisterCollectable(families->registry);
  return std::unique_ptr<Metrics>(new Metrics(std::move(families)));
}

Metrics::Metrics(std::unique_ptr<Families> families) : families_(std::move(families)) {}
Metrics::~Metrics() = default;

const std::string& Metrics::address() const { return families_->address; }

void Metrics::SetStartupTime(const std::string& phase, std::chrono::nanoseconds time) {
  families_->startup.Add({{"phase", phase}}).Set(Seconds(time));
}

void Metrics::SetReady(bool ready) { families_->ready.Set(ready ? 1 : 0); }

void Metrics::OnRankStep(std::chrono::nanoseconds duration,
                         std::optional<std::chrono::nanoseconds> collective) {
  families_->step.Observe(Seconds(duration));
  if (collective.has_value()) families_->all_reduce.Observe(Seconds(*collective));
}

void Metrics::OnStep(const StepStats& stats) {
  OnRankStep(stats.duration, stats.collective_duration);
  families_->batch.Observe(stats.rows);
  families_->step_tokens.Observe(stats.prefill_tokens + stats.decode_tokens);
  SetLoad(stats.load);
}

void Metrics::OnIdle(const SchedulerLoad& load) { SetLoad(load); }

void Metrics::SetLoad(const SchedulerLoad& load) {
  families_->running.Set(load.running);
  families_->waiting.Set(load.waiting);
  families_->pages_used.Set(load.pages_used);
  families_->pages_cached.Set(load.pages_cached);
  families_->pages_total.Set(load.pages_total);
  const SchedulerLoad& seen = families_->seen;
  const auto add = [](Counter& counter, int64_t now, int64_t before) {
    counter.Increment(static_cast<double>(now - before));
  };
  add(families_->preemptions, load.preemptions, seen.preemptions);
  add(families_->drafted, load.drafted_tokens, seen.drafted_tokens);
  add(families_->accepted, load.accepted_tokens, seen.accepted_tokens);
  add(families_->prefix_queried, load.prefix_tokens_queried, seen.prefix_tokens_queried);
  add(families_->prefix_hit, load.prefix_tokens_hit, seen.prefix_tokens_hit);
  families_->seen = load;
}

void Metrics::OnRequestDone(const RequestStats& stats) {
  const char* outcome = Outcome(stats.status);
  // Cancelled choices end a call with OK: what happened is still a cancel.
  if (stats.status.ok() && stats.cancelled) outcome = stats.deadline ? "deadline" : "cancelled";
  families_->requests.Add({{"outcome", outcome}}).Increment();
  families_->tokens_in.Increment(stats.prompt_tokens);
  families_->tokens_out.Increment(stats.completion_tokens);
  families_->dropped.Increment(stats.dropped_tokens);
  if (stats.queue_time) families_->queue_time.Observe(Seconds(*stats.queue_time));
  if (stats.first_token) families_->first_token.Observe(Seconds(*stats.first_token));
  families_->duration.Observe(Seconds(stats.duration));
}

void Metrics::OnRefused(const absl::Status& status) {
  families_->requests.Add({{"outcome", Outcome(status)}}).Increment();
}

void Metrics::OnBadLogits() { families_->nan_guard.Increment(); }

}  // namespace sluice::worker
