// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/measurement.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace sluice::gateway {
namespace {

double Milliseconds(BenchClock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// Values on their way to a Summary.
struct Values {
  std::vector<double> ttft, inter_token, inter_chunk, per_token, end_to_end;
  std::vector<double> prompt, asked_prompt, output, refusal, retry_after, lag;
};

// One value for each token after the first.
void AddTokenGaps(const RequestRecord& record, std::vector<double>* out,
                  Measurement::ItlBasis* basis) {
  const auto& gaps = record.gaps;
  const int64_t tokens = record.usage.completion_tokens;
  const bool said = std::all_of(gaps.begin(), gaps.end(),
                                [](const RequestRecord::Gap& gap) { return gap.tokens > 0; });
  if (!gaps.empty() && said) {
    ++basis->usage_per_chunk;
    for (const RequestRecord::Gap& gap : gaps) {
      out->insert(out->end(), static_cast<size_t>(gap.tokens), 1e3 * gap.seconds / gap.tokens);
    }
    return;
  }
  const bool one_each = tokens == record.chunks || tokens == record.chunks + 1;
  if (tokens < 0 || one_each) {
    ++(tokens < 0 ? basis->chunks_as_tokens : basis->one_token_per_chunk);
    for (const RequestRecord::Gap& gap : gaps) out->push_back(1e3 * gap.seconds);
    return;
  }
  ++basis->spread;
  if (gaps.empty() || tokens < 2) return;
  const auto later = static_cast<size_t>(tokens - 1);
  const double share = static_cast<double>(gaps.size()) / static_cast<double>(later);
  for (size_t i = 0; i < later; ++i) {
    out->push_back(1e3 * gaps[i * gaps.size() / later].seconds * share);
  }
}

void AddFinished(const RequestRecord& record, const ServiceObjectives& objectives,
                 Measurement* measured, Values* values) {
  const OpenAiUsage& usage = record.usage;
  const bool counted = usage.completion_tokens >= 0;
  const int64_t tokens = counted ? usage.completion_tokens : record.chunks;
  ++(counted ? measured->counted_by_usage : measured->counted_by_chunks);
  measured->total_output_tokens += tokens;
  values->output.push_back(static_cast<double>(tokens));
  if (tokens < record.asked_output_tokens) ++measured->stopped_early;
  if (usage.prompt_tokens >= 0) {
    measured->total_prompt_tokens += usage.prompt_tokens;
    values->prompt.push_back(static_cast<double>(usage.prompt_tokens));
  }
  if (record.asked_prompt_tokens > 0) values->asked_prompt.push_back(record.asked_prompt_tokens);
  measured->cached_tokens += std::max<int64_t>(usage.cached_tokens, 0);
  measured->reasoning_tokens += std::max<int64_t>(usage.reasoning_tokens, 0);

  values->end_to_end.push_back(Milliseconds(record.ended - record.sent));
  double ttft_ms = 0;
  double per_token_ms = 0;
  if (record.chunks > 0) {
    ttft_ms = Milliseconds(record.first_text - record.sent);
    values->ttft.push_back(ttft_ms);
    for (const RequestRecord::Gap& gap : record.gaps) {
      values->inter_chunk.push_back(1e3 * gap.seconds);
    }
    AddTokenGaps(record, &values->inter_token, &measured->itl_basis);
    if (tokens > 1 && record.chunks > 1) {  // all in one chunk says nothing of its tokens' pace
      per_token_ms =
          Milliseconds(record.last_text - record.first_text) / static_cast<double>(tokens - 1);
      values->per_token.push_back(per_token_ms);
    }
  }
  if (measured->good.has_value() && ttft_ms <= objectives.ttft_ms.value_or(ttft_ms) &&
      per_token_ms <= objectives.itl_ms.value_or(per_token_ms)) {
    ++*measured->good;
  }
}

void AddRecord(const RequestRecord& record, const ServiceObjectives& objectives,
               Measurement* measured, Values* values) {
  values->lag.push_back(Milliseconds(record.sent - record.due));
  switch (record.ending) {
    case Ending::kFinished:
      ++measured->finished;
      AddFinished(record, objectives, measured, values);
      return;
    case Ending::kRefused:
      ++measured->refused;
      values->refusal.push_back(Milliseconds(record.ended - record.sent));
      if (record.retry_after_s.has_value()) values->retry_after.push_back(*record.retry_after_s);
      return;
    case Ending::kFailed: {
      ++measured->failed;
      Measurement::ErrorKind& kind = measured->errors[record.error_kind];
      if (kind.count++ == 0) kind.example = record.error_detail;
      return;
    }
    case Ending::kRunning:
    case Ending::kInterrupted:
      ++measured->interrupted;
  }
}

}  // namespace

Measurement Measure(const LoadRun& run, const ServiceObjectives& objectives) {
  Measurement measured;
  measured.sent = static_cast<int64_t>(run.records.size());
  measured.peak_concurrency = run.totals.peak_running;
  if (objectives.ttft_ms.has_value() || objectives.itl_ms.has_value()) measured.good = 0;
  if (run.records.empty()) return measured;
  Values values;
  const BenchClock::time_point start = run.records.front().sent;
  BenchClock::time_point last = start;
  for (const RequestRecord& record : run.records) {
    last = std::max({last, record.sent, record.ended, record.last_text});
    AddRecord(record, objectives, &measured, &values);
  }
  BenchClock::duration busy{};
  for (const RequestRecord& record : run.records) {
    const bool ended = record.ended != BenchClock::time_point();
    busy += (ended ? record.ended : last) - record.sent;
  }
  measured.duration_s = Milliseconds(last - start) / 1e3;
  if (last > start) {
    measured.mean_concurrency = Milliseconds(busy) / Milliseconds(last - start);
  }
  measured.ttft_ms = Summarize(std::move(values.ttft));
  measured.inter_token_ms = Summarize(std::move(values.inter_token));
  measured.inter_chunk_ms = Summarize(std::move(values.inter_chunk));
  measured.per_output_token_ms = Summarize(std::move(values.per_token));
  measured.end_to_end_ms = Summarize(std::move(values.end_to_end));
  measured.prompt_tokens = Summarize(std::move(values.prompt));
  measured.asked_prompt_tokens = Summarize(std::move(values.asked_prompt));
  measured.output_tokens = Summarize(std::move(values.output));
  measured.refusal_ms = Summarize(std::move(values.refusal));
  measured.retry_after_s = Summarize(std::move(values.retry_after));
  measured.start_lag_ms = Summarize(std::move(values.lag));
  return measured;
}

}  // namespace sluice::gateway
