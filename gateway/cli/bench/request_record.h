// SPDX-License-Identifier: Apache-2.0
// RequestRecord: everything measured of one request. Written by the target that runs it, read when
// the run is over; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/cli/openai_chunk.h"

namespace sluice::gateway {

using BenchClock = std::chrono::steady_clock;

enum class Ending {
  kRunning,
  kFinished,     // the whole answer came
  kRefused,      // 429 or RESOURCE_EXHAUSTED
  kFailed,       // anything else that went wrong: see error_kind
  kInterrupted,  // we left before it ended
};

struct RequestRecord {
  // From the chunk before to this one.
  struct Gap {
    float seconds = 0;
    int tokens = 0;  // that this chunk brought; 0: the server did not say
  };

  // One more piece of the answer. `tokens_so_far`: of the whole answer, -1 where the server says it
  // only at the end.
  void AddText(BenchClock::time_point now, int64_t tokens_so_far) {
    if (chunks > 0) {
      const std::chrono::duration<float> gap = now - last_text;
      const bool known = tokens_so_far > known_tokens && known_tokens >= 0;
      gaps.push_back({gap.count(), known ? static_cast<int>(tokens_so_far - known_tokens) : 0});
    } else {
      first_text = now;
    }
    known_tokens = tokens_so_far;
    last_text = now;
    ++chunks;
  }
  void Fail(std::string kind, std::string detail) {
    ending = Ending::kFailed;
    error_kind = std::move(kind);
    error_detail = std::move(detail);
  }

  BenchClock::time_point due{};   // when it should have been sent
  BenchClock::time_point sent{};  // when it was
  BenchClock::time_point first_text{};
  BenchClock::time_point last_text{};
  BenchClock::time_point ended{};
  int chunks = 0;  // that carried text
  std::vector<Gap> gaps;
  int64_t known_tokens = -1;
  int asked_prompt_tokens = 0;  // 0: a prompt from a file
  int asked_output_tokens = 0;
  OpenAiUsage usage;
  std::string finish_reason;

  Ending ending = Ending::kRunning;
  std::string error_kind;    // http_500, grpc_UNAVAILABLE, connection, cut_off, timeout ...
  std::string error_detail;  // the server's words
  std::optional<double> retry_after_s;
};

}  // namespace sluice::gateway
