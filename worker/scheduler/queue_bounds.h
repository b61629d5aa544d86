// SPDX-License-Identifier: Apache-2.0
// The bounds on waiting work: what does not fit is refused at once with a waiting time, instead of
// growing a queue whose requests would all time out. Pure functions; the engine calls them under
// its intake lock.
#pragma once

#include <chrono>
#include <cstdint>

#include "absl/status/status.h"

namespace sluice::worker {

struct QueueBounds {
  int max_sequences = 512;         // waiting beyond what free rows can take at once
  int64_t max_tokens = 4'000'000;  // prompt ids waiting; one request alone may exceed it
};

struct QueueLoad {
  int waiting_sequences = 0;
  int64_t waiting_tokens = 0;
  int free_rows = 0;
};

// OK, or RESOURCE_EXHAUSTED with the numbers and a waiting time. A request counts once for each of
// its choices. mean_finish_interval: recent mean time between two sequences' ends; zero when
// unknown.
absl::Status CheckQueueBounds(const QueueBounds& bounds, const QueueLoad& load, int new_sequences,
                              int64_t new_tokens, std::chrono::nanoseconds mean_finish_interval);

}  // namespace sluice::worker
