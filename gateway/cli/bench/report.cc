// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::gateway {
namespace {

using Json = nlohmann::ordered_json;

// Beyond it, the client's own work may show in what it measures.
constexpr double kBusyShare = 0.7;

double PerSecond(double amount, const Measurement& measured) {
  return measured.duration_s > 0 ? amount / measured.duration_s : 0;
}

double CpuShare(const BenchDescription& description) {
  return description.client_wall_s > 0 ? description.client_cpu_s / description.client_wall_s : 0;
}

std::string ItlBasisText(const Measurement::ItlBasis& basis) {
  std::string text;
  const auto add = [&text](int64_t requests, const char* what) {
    if (requests > 0) absl::StrAppend(&text, text.empty() ? "" : "; ", what);
  };
  add(basis.usage_per_chunk, "tokens of each chunk as the server says");
  add(basis.one_token_per_chunk, "one token a chunk");
  add(basis.spread, "a request's tokens spread evenly over its chunks");
  add(basis.chunks_as_tokens, "no usage: chunks taken for tokens");
  return text;
}

void AddRow(const char* name, const Summary& summary, std::string* out) {
  if (summary.count == 0) {
    absl::StrAppendFormat(out, "%-26s%10s\n", name, "-");
    return;
  }
  absl::StrAppendFormat(out, "%-26s%10.2f%10.2f%10.2f%10.2f%10.2f%10.2f\n", name, summary.mean,
                        summary.p50, summary.p90, summary.p95, summary.p99, summary.max);
}

void AddTokenLines(const Measurement& measured, std::string* out) {
  const Summary& prompt = measured.prompt_tokens;
  if (prompt.count > 0) {
    absl::StrAppendFormat(out, "Prompt tokens     %d: %.1f a request (%.0f to %.0f), by usage",
                          measured.total_prompt_tokens, prompt.mean, prompt.min, prompt.max);
  } else {
    absl::StrAppend(out, "Prompt tokens     not counted: the server sent no usage");
  }
  if (measured.asked_prompt_tokens.count > 0) {
    absl::StrAppendFormat(out, "; asked for %.1f", measured.asked_prompt_tokens.mean);
  }
  if (measured.cached_tokens > 0) {
    absl::StrAppendFormat(out, "; %d from the prefix cache", measured.cached_tokens);
  }
  absl::StrAppendFormat(out, "\nOutput tokens     %d: %.1f a request (%.0f to %.0f), by %s",
                        measured.total_output_tokens, measured.output_tokens.mean,
                        measured.output_tokens.min, measured.output_tokens.max,
                        measured.counted_by_chunks == 0 ? "usage"
                        : measured.counted_by_usage == 0
                            ? "counted chunks: the server sent no usage"
                            : "usage, and chunks where there was none");
  if (measured.stopped_early > 0) {
    absl::StrAppendFormat(out, "; %d answers shorter than asked", measured.stopped_early);
  }
  out->push_back('\n');
}

void AddTroubleLines(const Measurement& measured, std::string* out) {
  if (measured.refused > 0) {
    absl::StrAppendFormat(out, "Refused           %d, after %.1f ms at the median, %.1f at p99",
                          measured.refused, measured.refusal_ms.p50, measured.refusal_ms.p99);
    if (measured.retry_after_s.count > 0) {
      absl::StrAppendFormat(out, "; %d with Retry-After, from %g to %g s",
                            measured.retry_after_s.count, measured.retry_after_s.min,
                            measured.retry_after_s.max);
    } else {
      absl::StrAppend(out, "; none with Retry-After");
    }
    out->push_back('\n');
  }
  for (const auto& [kind, error] : measured.errors) {
    absl::StrAppendFormat(out, "Failed            %d x %s: %s\n", error.count, kind, error.example);
  }
}

Json ToJson(const Summary& summary) {
  if (summary.count == 0) return {{"count", 0}};
  return {{"count", summary.count}, {"mean", summary.mean}, {"min", summary.min},
          {"p50", summary.p50},     {"p90", summary.p90},   {"p95", summary.p95},
          {"p99", summary.p99},     {"max", summary.max}};
}

Json TokensJson(const Measurement& measured) {
  return {{"prompt", measured.total_prompt_tokens},
          {"output", measured.total_output_tokens},
          {"cached", measured.cached_tokens},
          {"reasoning", measured.reasoning_tokens},
          {"prompt_per_request", ToJson(measured.prompt_tokens)},
          {"prompt_asked_per_request", ToJson(measured.asked_prompt_tokens)},
          {"output_per_request", ToJson(measured.output_tokens)},
          {"requests_counted_by_usage", measured.counted_by_usage},
          {"requests_counted_by_chunks", measured.counted_by_chunks},
          {"requests_shorter_than_asked", measured.stopped_early}};
}

}  // namespace

std::string ReportTable(const BenchDescription& description, const Measurement& measured) {
  std::string out =
      absl::StrFormat("\n%s %s, model %s\n%s; %s\n\n", description.target, description.endpoint,
                      description.model, description.load, description.workload);
  absl::StrAppendFormat(&out, "Requests          %d sent, %d finished, %d refused, %d failed",
                        measured.sent, measured.finished, measured.refused, measured.failed);
  if (measured.interrupted > 0) {
    absl::StrAppendFormat(&out, ", %d cut off by Ctrl-C", measured.interrupted);
  }
  absl::StrAppendFormat(
      &out, "\nDuration          %.2f s; %.1f requests at once on average, %d at most\n",
      measured.duration_s, measured.mean_concurrency, measured.peak_concurrency);
  const double output = PerSecond(static_cast<double>(measured.total_output_tokens), measured);
  const double prompt = PerSecond(static_cast<double>(measured.total_prompt_tokens), measured);
  absl::StrAppendFormat(
      &out, "Throughput        %.2f requests/s, %.1f output tokens/s, %.1f tokens/s in all\n",
      PerSecond(static_cast<double>(measured.finished), measured), output, output + prompt);
  if (measured.good.has_value()) {
    absl::StrAppendFormat(&out, "Goodput           %.2f requests/s: %d of %d met the objectives\n",
                          PerSecond(static_cast<double>(*measured.good), measured), *measured.good,
                          measured.sent);
  }
  AddTokenLines(measured, &out);
  AddTroubleLines(measured, &out);
  absl::StrAppendFormat(&out, "\n%-26s%10s%10s%10s%10s%10s%10s\n", "Milliseconds", "mean", "p50",
                        "p90", "p95", "p99", "max");
  AddRow("Time to first token", measured.ttft_ms, &out);
  AddRow("Inter-token, per token", measured.inter_token_ms, &out);
  AddRow("Inter-token, per chunk", measured.inter_chunk_ms, &out);
  AddRow("Time per output token", measured.per_output_token_ms, &out);
  AddRow("End to end", measured.end_to_end_ms, &out);
  if (const std::string basis = ItlBasisText(measured.itl_basis); !basis.empty()) {
    absl::StrAppend(&out, "Per token: ", basis, ".\n");
  }
  absl::StrAppendFormat(
      &out, "\nThis client used %.1f %% of one core; requests left %.2f ms late at p99.\n",
      100 * CpuShare(description), measured.start_lag_ms.p99);
  if (CpuShare(description) > kBusyShare) {
    absl::StrAppend(&out, "That is busy enough to show in the latencies: use several clients.\n");
  }
  return out;
}

std::string ReportJson(const BenchDescription& description, const Measurement& measured) {
  Json errors = Json::object();
  for (const auto& [kind, error] : measured.errors) {
    errors[kind] = {{"count", error.count}, {"example", error.example}};
  }
  Json options = Json::object();
  for (const auto& [name, value] : description.options) options[name] = value;
  const double output = PerSecond(static_cast<double>(measured.total_output_tokens), measured);
  const double prompt = PerSecond(static_cast<double>(measured.total_prompt_tokens), measured);
  const Measurement::ItlBasis& basis = measured.itl_basis;
  Json report = {
      {"format", "sluice-bench-1"},
      {"version", description.version},
      {"started", description.started},
      {"target", description.target},
      {"endpoint", description.endpoint},
      {"model", description.model},
      {"load", description.load},
      {"workload", description.workload},
      {"prompt_lengths_by", description.lengths},
      {"options", std::move(options)},
      {"interrupted", description.interrupted},
      {"requests",
       {{"sent", measured.sent},
        {"finished", measured.finished},
        {"refused", measured.refused},
        {"failed", measured.failed},
        {"interrupted", measured.interrupted}}},
      {"duration_s", measured.duration_s},
      {"concurrency", {{"mean", measured.mean_concurrency}, {"peak", measured.peak_concurrency}}},
      {"throughput",
       {{"requests_per_s", PerSecond(static_cast<double>(measured.finished), measured)},
        {"output_tokens_per_s", output},
        {"prompt_tokens_per_s", prompt},
        {"total_tokens_per_s", output + prompt}}},
      {"tokens", TokensJson(measured)},
      {"ttft_ms", ToJson(measured.ttft_ms)},
      {"inter_token_ms", ToJson(measured.inter_token_ms)},
      {"inter_token_basis",
       {{"usage_per_chunk", basis.usage_per_chunk},
        {"one_token_per_chunk", basis.one_token_per_chunk},
        {"spread", basis.spread},
        {"chunks_as_tokens", basis.chunks_as_tokens}}},
      {"inter_chunk_ms", ToJson(measured.inter_chunk_ms)},
      {"time_per_output_token_ms", ToJson(measured.per_output_token_ms)},
      {"end_to_end_ms", ToJson(measured.end_to_end_ms)},
      {"refusals",
       {{"latency_ms", ToJson(measured.refusal_ms)},
        {"retry_after_s", ToJson(measured.retry_after_s)}}},
      {"errors", std::move(errors)}};
  if (measured.good.has_value()) {
    report["goodput"] = {
        {"requests", *measured.good},
        {"requests_per_s", PerSecond(static_cast<double>(*measured.good), measured)}};
  }
  report["client"] = {{"cpu_s", description.client_cpu_s},
                      {"wall_s", description.client_wall_s},
                      {"share_of_a_core", CpuShare(description)},
                      {"start_lag_ms", ToJson(measured.start_lag_ms)}};
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sluice::gateway
