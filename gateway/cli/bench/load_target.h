// SPDX-License-Identifier: Apache-2.0
// LoadTarget: what a load is put on. Two kinds: OpenAI's API over HTTP, Sluice's over gRPC. Neither
// has threads of its own that measure: everything happens inside Poll, on the driver's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gateway/cli/bench/request_record.h"

namespace sluice::gateway {

struct LoadMessage {
  std::string role;
  std::string content;
};

struct LoadRequest {
  // One of the two; a prompt asked as a chat is its only user message.
  std::string prompt;
  std::vector<LoadMessage> messages;
  int max_tokens = 1;
  int prompt_tokens = 0;  // as asked for; 0: unknown
};

// What every request of a run says.
struct GenerationSettings {
  std::string model;
  std::string api_key;  // sent as a bearer token; empty: none
  bool ignore_eos = false;
  bool continuous_usage = false;      // ask for token counts in every chunk
  std::optional<double> temperature;  // absent: the server's default
  std::optional<uint64_t> sampling_seed;
  std::string extra_body = "{}";  // a JSON object, merged into every HTTP request
};

class LoadTarget {
 public:
  virtual ~LoadTarget() = default;
  // Sends, and writes into `record`, which must live until `on_end` was called: once, inside Poll,
  // with the record complete. The function it returns cancels: on_end then comes with
  // Ending::kInterrupted, unless the request had ended.
  virtual std::function<void()> Start(const LoadRequest& request, RequestRecord* record,
                                      std::function<void()> on_end) = 0;
  // Waits until `deadline` for something to happen, and handles what has.
  virtual void Poll(BenchClock::time_point deadline) = 0;
};

}  // namespace sluice::gateway
