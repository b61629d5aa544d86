// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/queue_bounds.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/wire/retry_after.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;

// Without history a second is a polite guess; the ceiling keeps clients from giving up on a
// momentary jam.
constexpr milliseconds kUnknownWait{1000};
constexpr milliseconds kLeastWait{50};
constexpr milliseconds kMostWait{30'000};

milliseconds WaitFor(int64_t num_ends, std::chrono::nanoseconds mean_finish_interval) {
  if (mean_finish_interval.count() <= 0) return kUnknownWait;
  const auto wait = std::chrono::duration_cast<milliseconds>(mean_finish_interval * num_ends);
  return std::clamp(wait, kLeastWait, kMostWait);
}

}  // namespace

absl::Status CheckQueueBounds(const QueueBounds& bounds, const QueueLoad& load, int new_sequences,
                              int64_t new_tokens, std::chrono::nanoseconds mean_finish_interval) {
  const int64_t room = int64_t{bounds.max_sequences} + load.free_rows - load.waiting_sequences;
  if (new_sequences > room) {
    return wire::WithRetryAfter(
        absl::ResourceExhaustedError(absl::StrCat(
            "the queue is full: ", load.waiting_sequences, " sequences wait, ", new_sequences,
            " more do not fit --max-queued-requests ", bounds.max_sequences, "; try again later")),
        WaitFor(new_sequences - room, mean_finish_interval));
  }
  const bool alone = load.waiting_sequences == 0;
  if (!alone && load.waiting_tokens + new_tokens > bounds.max_tokens) {
    return wire::WithRetryAfter(
        absl::ResourceExhaustedError(absl::StrCat(
            "the queue is full: ", load.waiting_tokens, " prompt ids wait, ", new_tokens,
            " more do not fit the bound of ", bounds.max_tokens, "; try again later")),
        WaitFor(1, mean_finish_interval));
  }
  return absl::OkStatus();
}

}  // namespace sluice::worker
