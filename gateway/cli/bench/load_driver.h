// SPDX-License-Identifier: Apache-2.0
// LoadDriver: puts a load on a target and times it. A closed loop has a number of clients, each of
// which asks again when its request has ended: the server's pace sets the load. A refused client
// waits first, as long as Retry-After says, since one that does not would only measure refusals. An
// open loop sends each request when it is due, however
// many run: that is how independent users come, and how overload shows. One thread, the caller's.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

#include "gateway/cli/bench/arrivals.h"
#include "gateway/cli/bench/load_target.h"
#include "gateway/cli/bench/request_record.h"

namespace sluice::gateway {

struct LoadPlan {
  // Makes the request number `index`.
  std::function<LoadRequest(uint64_t index)> make_request;
  int concurrency = 1;  // of a closed loop
  // Given: an open loop.
  std::optional<double> requests_per_second;
  uint64_t seed = 0;                                      // of the arrivals
  std::optional<uint64_t> num_requests;                   // absent: as many as the duration holds
  std::optional<std::chrono::duration<double>> duration;  // nothing is sent after it
  std::chrono::duration<double> request_timeout{600};
};

// How a run stands; counts are since its start.
struct LoadProgress {
  std::chrono::duration<double> elapsed{};
  uint64_t sent = 0;
  uint64_t finished = 0;
  uint64_t refused = 0;
  uint64_t failed = 0;
  uint64_t chunks = 0;  // with text, those of running requests included
  int running = 0;
  int peak_running = 0;
};

struct LoadRun {
  std::deque<RequestRecord> records;  // in the order of sending
  LoadProgress totals;
  bool interrupted = false;
};

class LoadDriver {
 public:
  // Called about ten times a second. Returning false ends the run: what runs is cancelled, its
  // records say so, and what was measured stays.
  using Watcher = std::function<bool(const LoadProgress&)>;
  LoadDriver(LoadTarget* target, LoadPlan plan, Watcher watcher);

  // REQUIRES: called once.
  LoadRun Run();

 private:
  void StartWhatIsDue();
  void StartOne(BenchClock::time_point due);
  bool MayStart(BenchClock::time_point due) const;
  void TakeEnd(RequestRecord* record);
  // When the next request is due; far away when none is before another ends.
  BenchClock::time_point NextDue() const;
  void CutOffTheLate();
  LoadProgress Progress() const;
  void CancelAll();

  LoadTarget* const target_;  // not owned
  const LoadPlan plan_;
  const Watcher watcher_;
  BenchClock::time_point start_;
  std::optional<PoissonArrivals> arrivals_;  // of an open loop
  BenchClock::time_point next_due_;          // in an open loop
  // When the clients of a closed loop that are between two requests ask again.
  std::priority_queue<BenchClock::time_point, std::vector<BenchClock::time_point>, std::greater<>>
      clients_;
  LoadRun run_;
  struct Running {
    std::function<void()> cancel;
    bool late = false;  // cancelled for the timeout
  };
  std::unordered_map<RequestRecord*, Running> running_;
};

}  // namespace sluice::gateway
