// SPDX-License-Identifier: Apache-2.0
// Engine: the leader's step loop. It takes requests and cancels from any thread, lets the scheduler
// plan, ships plans to the ranks and to its own executor, and turns sampled ids into chunks. Steps
// overlap: the next one is planned and submitted while one runs, so stop ids are seen one step late
// and the surplus id is dropped.
//
// Every accepted request ends with exactly one OnDone: also when the client goes away, the deadline
// passes, a rank dies or the engine stops. One thread owns everything but the intake; sinks and
// events are called on it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/base/clock.h"
#include "worker/engine/engine_events.h"
#include "worker/engine/rank_group.h"
#include "worker/engine/request.h"
#include "worker/engine/request_validation.h"
#include "worker/engine/running_request.h"
#include "worker/engine/step_watchdog.h"
#include "worker/executor/executor.h"
#include "worker/scheduler/queue_bounds.h"
#include "worker/scheduler/scheduler.h"

namespace sluice::worker {

struct EngineOptions {
  SchedulerOptions scheduler{};
  QueueBounds bounds{};
  ModelLimits limits{};
  StepWatchdog::Options watchdog{};
  int max_steps_in_flight = 2;  // what an Executor takes at most
  // Called once on the engine thread when the group cannot go on, after every request was ended.
  std::function<void(const absl::Status&)> on_failure{};
};

// Names an accepted request; never used twice.
using RequestHandle = int64_t;

class Engine {
 public:
  // Everything must outlive the engine.
  Engine(EngineOptions options, Executor& executor, RankGroup& group, EngineEvents& events,
         const Clock& clock);
  // Stops when Stop was not called.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Starts the loop's thread. Call once.
  void Start();

  // Accepts a request or refuses it: INVALID_ARGUMENT (names the field), RESOURCE_EXHAUSTED (with a
  // waiting time), UNAVAILABLE (draining, stopped, failed). A refused request's sink is never
  // called. Thread safe, does not block on steps.
  absl::StatusOr<RequestHandle> Submit(EngineRequest request, std::shared_ptr<TokenSink> sink);

  // Ends choices of a running request; unknown ids are ignored. Takes effect within a step. Thread
  // safe.
  void Cancel(const std::string& request_id, const CancelCommand& command);

  // The caller of this request is gone: ends it as a whole with CANCELLED (DEADLINE_EXCEEDED for
  // kDeadline). Thread safe.
  void Abandon(RequestHandle request, CancelReason reason);

  // From now on Submit refuses; running requests go on. Thread safe.
  void BeginDrain();
  // True when no request is left before the time is up. Thread safe.
  bool WaitIdle(std::chrono::nanoseconds timeout);
  // Ends what still runs with UNAVAILABLE and joins the thread. Not from a sink.
  void Stop();

  // Something the loop may wait for has changed: a rank reported, or its health did. Thread safe.
  void Wake();

  // For the thread that watches for hung steps.
  const StepWatchdog& watchdog() const { return watchdog_; }

 private:
  struct NewRequest {
    RequestHandle handle;
    EngineRequest request;
    std::shared_ptr<TokenSink> sink;
    Clock::TimePoint arrival;
  };
  struct CancelChoices {
    RequestHandle handle;
    CancelCommand command;
  };
  struct AbandonRequest {
    RequestHandle handle;
    CancelReason reason;
  };
  using Command = std::variant<NewRequest, CancelChoices, AbandonRequest>;

  struct StepInFlight {
    StepId step = 0;
    size_t num_samples = 0;
    std::vector<SequenceId> scored;  // whose prompt ids get log probabilities
    StepStats stats;
  };
  struct SequenceOwner {
    RequestHandle request;
    int choice;
  };

  void Loop();
  // Waits while there is nothing to do. False: Stop was called.
  bool TakeCommands(std::deque<Command>& commands);
  void Apply(Command& command);
  void Apply(NewRequest& command);
  void ExpireDeadlines();
  // One round: plans and submits what fits, then collects the oldest step.
  absl::Status Advance();
  absl::Status SubmitStep(PlannedStep step);
  absl::Status CollectStep();
  void Deliver(StepResult result);
  void DeliverPromptLogprobs(std::vector<PromptLogprobs> scores,
                             const std::vector<SequenceId>& sequences);
  void FailForBadLogits(RequestHandle handle);
  // Takes the sequences of ended choices out of the scheduler; ends the request when none is left.
  void RemoveEndedChoices(RequestHandle handle);
  void EndRequest(RequestHandle handle, const absl::Status& status);
  // Gives its row, pages and place in the queue back, also in the load that Submit looks at:
  // whoever hears of the end may ask again at once. Unknown ids are ignored.
  void RemoveSequence(SequenceId id);
  void EndAll(const absl::Status& status);
  void PublishLoad();
  // REQUIRES: mutex_ is held.
  void NoteFinish(Clock::TimePoint now, int num_choices);

  const EngineOptions options_;
  Executor& executor_;
  RankGroup& group_;
  EngineEvents& events_;
  const Clock& clock_;
  StepWatchdog watchdog_;
  std::thread thread_;

  // Owned by the loop's thread.
  Scheduler scheduler_;
  std::unordered_map<RequestHandle, std::unique_ptr<RunningRequest>> requests_;
  std::set<std::pair<Clock::TimePoint, RequestHandle>> deadlines_;  // of requests_, soonest first
  std::unordered_map<SequenceId, SequenceOwner> sequences_;
  SequenceId next_sequence_ = 1;
  std::deque<StepInFlight> in_flight_;
  StepId last_collected_ = 0;
  std::optional<Clock::TimePoint> last_finish_;
  bool idle_ = true;
  // The last round could neither plan nor collect: only a command or a rank's report changes that.
  bool stalled_ = true;

  // Guarded by mutex_, which is never held while a sink, the events or the executor is called.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable idle_changed_;
  std::deque<Command> commands_;
  std::map<std::string, RequestHandle> handles_;  // of accepted requests that have an id
  int num_unfinished_ = 0;                        // accepted requests without OnDone
  RequestHandle next_handle_ = 1;
  QueueLoad load_;  // the scheduler's as last published, and what was accepted since
  std::chrono::nanoseconds mean_finish_interval_{0};
  bool woken_ = false;
  bool stopping_ = false;
  absl::Status refusal_;  // not OK: what Submit answers
};

}  // namespace sluice::worker
