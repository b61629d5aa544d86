// SPDX-License-Identifier: Apache-2.0
// Measurement: a run's records made into figures. Latencies and tokens are those of finished
// requests alone; a refused one never counts as finished. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "gateway/cli/bench/load_driver.h"
#include "gateway/cli/bench/summary.h"

namespace sluice::gateway {

// A finished request is good when it meets those that are given.
struct ServiceObjectives {
  std::optional<double> ttft_ms;  // time to first token, at most
  std::optional<double> itl_ms;   // its mean time per output token, at most
};

struct Measurement {
  // How the requests' inter-token latencies were made from their chunks.
  struct ItlBasis {
    int64_t usage_per_chunk = 0;      // the server said how many tokens each chunk brought
    int64_t one_token_per_chunk = 0;  // usage equals the chunks, but for an end that has no text
    int64_t spread = 0;               // a request's tokens shared out evenly over its chunks
    int64_t chunks_as_tokens = 0;     // no usage: each chunk is taken for a token
  };
  struct ErrorKind {
    int64_t count = 0;
    std::string example;
  };

  int64_t sent = 0, finished = 0, refused = 0, failed = 0, interrupted = 0;
  double duration_s = 0;  // from the first request sent to the last end
  double mean_concurrency = 0;
  int peak_concurrency = 0;

  Summary ttft_ms;
  Summary inter_token_ms;
  Summary inter_chunk_ms;
  Summary
      per_output_token_ms;  // of each request: from the first chunk to the last, over tokens - 1
  Summary end_to_end_ms;
  ItlBasis itl_basis;

  Summary prompt_tokens;        // a request's, where the server counted them
  Summary asked_prompt_tokens;  // where we asked for a length
  Summary output_tokens;        // a request's
  int64_t total_prompt_tokens = 0;
  int64_t total_output_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t reasoning_tokens = 0;
  int64_t counted_by_usage = 0;   // requests whose output tokens the server counted
  int64_t counted_by_chunks = 0;  // and those whose chunks we counted instead
  int64_t stopped_early = 0;      // finished with fewer tokens than asked for

  Summary refusal_ms;     // from sending to the refusal
  Summary retry_after_s;  // as the refusals said
  std::map<std::string, ErrorKind> errors;

  std::optional<int64_t> good;  // with objectives only

  Summary start_lag_ms;  // how much later than due requests were sent: our own slowness
};

Measurement Measure(const LoadRun& run, const ServiceObjectives& objectives);

}  // namespace sluice::gateway
