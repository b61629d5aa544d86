// SPDX-License-Identifier: Apache-2.0
#include "worker/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

absl::Status AbandonStatus(CancelReason reason) {
  if (reason == CancelReason::kDeadline) {
    return absl::DeadlineExceededError("the request's deadline passed");
  }
  return absl::CancelledError("the caller went away");
}

}  // namespace

Engine::Engine(EngineOptions options, Executor& executor, RankGroup& group, EngineEvents& events,
               const Clock& clock)
    : options_(std::move(options)),
      executor_(executor),
      group_(group),
      events_(events),
      clock_(clock),
      watchdog_(options_.watchdog, clock),
      scheduler_(options_.scheduler) {
  load_.free_rows = options_.scheduler.max_rows;
}

Engine::~Engine() { Stop(); }

void Engine::Start() { thread_ = std::thread(&Engine::Loop, this); }

absl::StatusOr<RequestHandle> Engine::Submit(EngineRequest request,
                                             std::shared_ptr<TokenSink> sink) {
  absl::Status valid = ValidateRequest(request, options_.limits);
  const int most_choices = options_.bounds.max_sequences + options_.scheduler.max_rows;
  if (valid.ok() && request.n > most_choices) {
    valid = absl::InvalidArgumentError(absl::StrCat(
        "n: ", request.n, " choices never fit --max-num-seqs ", options_.scheduler.max_rows,
        " and --max-queued-requests ", options_.bounds.max_sequences, " together"));
  }
  const Clock::TimePoint now = clock_.Now();
  absl::Status refused = valid;
  {
    const std::lock_guard lock(mutex_);
    const int64_t tokens = static_cast<int64_t>(request.prompt.size() + request.output.size()) *
                           std::max(1, request.n);
    if (!refusal_.ok()) {
      refused = refusal_;
    } else if (valid.ok() && !request.id.empty() && handles_.count(request.id) != 0) {
      refused = absl::InvalidArgumentError(
          absl::StrCat("request_id: a request named \"", request.id, "\" is still running"));
    } else if (valid.ok()) {
      refused = CheckQueueBounds(options_.bounds, load_, request.n, tokens, mean_finish_interval_);
    }
    if (refused.ok()) {
      const RequestHandle handle = next_handle_++;
      if (!request.id.empty()) handles_[request.id] = handle;
      ++num_unfinished_;
      load_.waiting_sequences += request.n;
      load_.waiting_tokens += tokens;
      commands_.push_back(NewRequest{handle, std::move(request), std::move(sink), now});
      changed_.notify_one();
      return handle;
    }
  }
  events_.OnRefused(refused);
  return refused;
}

void Engine::Cancel(const std::string& request_id, const CancelCommand& command) {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(request_id);
  if (found == handles_.end()) return;
  commands_.push_back(CancelChoices{found->second, command});
  changed_.notify_one();
}

void Engine::Abandon(RequestHandle request, CancelReason reason) {
  const std::lock_guard lock(mutex_);
  commands_.push_back(AbandonRequest{request, reason});
  changed_.notify_one();
}

void Engine::BeginDrain() {
  const std::lock_guard lock(mutex_);
  if (refusal_.ok())
    refusal_ = absl::UnavailableError("the worker is draining and takes no new requests");
}

bool Engine::WaitIdle(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  return idle_changed_.wait_for(lock, timeout, [this] { return num_unfinished_ == 0; });
}

void Engine::Stop() {
  {
    const std::lock_guard lock(mutex_);
    if (refusal_.ok()) refusal_ = absl::UnavailableError("the worker is stopping");
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Engine::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_one();
}

void Engine::Loop() {
  std::deque<Command> commands;
  absl::Status failure;
  while (failure.ok() && TakeCommands(commands)) {
    for (Command& command : commands) Apply(command);
    commands.clear();
    ExpireDeadlines();
    failure = Advance();
  }
  {
    const std::lock_guard lock(mutex_);
    if (!failure.ok()) {
      failure =
          absl::UnavailableError(absl::StrCat("the worker group failed: ", failure.message()));
      refusal_ = failure;
    }
    commands.swap(commands_);
  }
  // What arrived before the refusal was set is accepted, so it must end too.
  for (Command& command : commands) Apply(command);
  EndAll(failure.ok() ? absl::UnavailableError("the worker is stopping") : failure);
  // A clean stop leaves no rank waiting in a collective.
  while (failure.ok() && !in_flight_.empty()) failure = CollectStep();
  if (!failure.ok() && options_.on_failure) options_.on_failure(failure);
}

bool Engine::TakeCommands(std::deque<Command>& commands) {
  std::optional<Clock::TimePoint> deadline;
  if (!deadlines_.empty()) deadline = deadlines_.begin()->first;
  std::unique_lock lock(mutex_);
  if (stalled_) {
    const auto ready = [this] { return !commands_.empty() || woken_ || stopping_; };
    if (deadline) {
      changed_.wait_until(lock, *deadline, ready);
    } else {
      changed_.wait(lock, ready);
    }
  }
  woken_ = false;
  if (stopping_) return false;  // commands stay for the end of Loop
  commands.swap(commands_);
  return true;
}

void Engine::Apply(Command& command) {
  if (auto* request = std::get_if<NewRequest>(&command)) {
    Apply(*request);
  } else if (auto* cancel = std::get_if<CancelChoices>(&command)) {
    const auto found = requests_.find(cancel->handle);
    if (found == requests_.end()) return;
    found->second->Cancel(cancel->command);
    RemoveEndedChoices(cancel->handle);
  } else if (auto* abandon = std::get_if<AbandonRequest>(&command)) {
    EndRequest(abandon->handle, AbandonStatus(abandon->reason));
  }
}

void Engine::Apply(NewRequest& command) {
  const RequestHandle handle = command.handle;
  auto request = std::make_unique<RunningRequest>(std::move(command.request), options_.limits,
                                                  std::move(command.sink), command.arrival);
  request->EndFinishedChoices();
  for (int choice = 0; choice < request->num_choices(); ++choice) {
    if (request->choice_done(choice)) continue;
    const SequenceId id = next_sequence_++;
    sequences_[id] = {handle, choice};
    scheduler_.Add(request->MakeSpec(choice, id, handle));
  }
  const bool done = request->done();
  if (const auto& deadline = request->request().deadline) deadlines_.emplace(*deadline, handle);
  requests_[handle] = std::move(request);
  if (done) EndRequest(handle, absl::OkStatus());
}

void Engine::ExpireDeadlines() {
  if (deadlines_.empty()) return;
  const Clock::TimePoint now = clock_.Now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    EndRequest(deadlines_.begin()->second, AbandonStatus(CancelReason::kDeadline));
  }
}

absl::Status Engine::Advance() {
  SLUICE_RETURN_IF_ERROR(group_.Health());
  scheduler_.SetStepDone(std::min(last_collected_, group_.LastStepDoneByAll()));
  while (static_cast<int>(in_flight_.size()) < options_.max_steps_in_flight) {
    std::optional<PlannedStep> step = scheduler_.Plan();
    if (!step) break;
    SLUICE_RETURN_IF_ERROR(SubmitStep(std::move(*step)));
  }
  PublishLoad();
  stalled_ = in_flight_.empty();
  if (!stalled_) SLUICE_RETURN_IF_ERROR(CollectStep());
  if (in_flight_.empty() && scheduler_.empty() && !idle_) {
    last_finish_.reset();
    scheduler_.SetStepDone(std::min(last_collected_, group_.LastStepDoneByAll()));
    const SchedulerLoad load = scheduler_.Load();
    // A rank that reports late gives pages back, which is to be told as well.
    idle_ = load.pages_retired == 0;
    events_.OnIdle(load);
  }
  return absl::OkStatus();
}

absl::Status Engine::SubmitStep(PlannedStep step) {
  idle_ = false;
  StepInFlight in_flight;
  in_flight.step = step.plan.step;
  in_flight.stats.rows = static_cast<int>(step.plan.rows.size());
  in_flight.stats.prefill_tokens = step.num_prefill_tokens;
  in_flight.stats.decode_tokens = step.num_decode_tokens;
  in_flight.stats.load = scheduler_.Load();
  in_flight.scored = std::move(step.scored);
  for (const RowStep& row : step.plan.rows) in_flight.num_samples += row.sample ? 1 : 0;
  const Clock::TimePoint now = clock_.Now();
  for (const Admission& admission : step.admitted) {
    requests_[sequences_[admission.id].request]->OnAdmitted(now, admission.cached_tokens);
  }
  SLUICE_RETURN_IF_ERROR(group_.Send(step.plan));
  watchdog_.StepSubmitted(step.num_prefill_tokens + step.num_decode_tokens);
  SLUICE_RETURN_IF_ERROR(executor_.Submit(std::move(step.plan)));
  in_flight_.push_back(std::move(in_flight));
  return absl::OkStatus();
}

absl::Status Engine::CollectStep() {
  StepInFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  SLUICE_ASSIGN_OR_RETURN(StepResult result, executor_.Collect(step.step));
  watchdog_.StepEnded();
  last_collected_ = step.step;
  if (result.samples.size() != step.num_samples) {
    return absl::InternalError(absl::StrCat("step ", step.step, " sampled ", result.samples.size(),
                                            " rows, planned were ", step.num_samples));
  }
  step.stats.duration = result.duration;
  step.stats.collective_duration = result.collective_duration;
  step.stats.idle_duration = result.idle_duration;
  if (result.prompt_logprobs.size() != step.scored.size()) {
    return absl::InternalError(absl::StrCat("step ", step.step, " scored the prompts of ",
                                            result.prompt_logprobs.size(), " rows, planned were ",
                                            step.scored.size()));
  }
  events_.OnStep(step.stats);
  // Before the ids: a request's scores come before its first one.
  DeliverPromptLogprobs(std::move(result.prompt_logprobs), step.scored);
  Deliver(std::move(result));
  return absl::OkStatus();
}

void Engine::DeliverPromptLogprobs(std::vector<PromptLogprobs> scores,
                                   const std::vector<SequenceId>& sequences) {
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto owner = sequences_.find(sequences[i]);
    if (owner == sequences_.end()) continue;
    const RequestHandle handle = owner->second.request;
    if (scores[i].bad_logits) {
      FailForBadLogits(handle);
      continue;
    }
    requests_[handle]->AppendPromptLogprobs(scores[i].first_position,
                                            std::move(scores[i].logprobs));
  }
}

void Engine::FailForBadLogits(RequestHandle handle) {
  events_.OnBadLogits();
  EndRequest(handle,
             absl::InternalError("the model produced a NaN or an infinity for this request"));
}

void Engine::Deliver(StepResult result) {
  std::vector<SampleOutcome> outcomes;
  outcomes.reserve(result.samples.size());
  for (const RowSample& sample : result.samples) {
    SampleOutcome& outcome = outcomes.emplace_back();
    for (const SampledToken& token : sample.tokens) outcome.ids.push_back(token.id);
    outcome.finite = !sample.bad_logits;
  }
  const std::vector<SequenceId> sequences = scheduler_.CompleteStep(outcomes);
  const Clock::TimePoint now = clock_.Now();
  for (size_t i = 0; i < sequences.size(); ++i) {
    // A choice of this very step may have failed its request as a whole.
    const auto owner = sequences_.find(sequences[i]);
    if (owner == sequences_.end()) continue;
    const auto [handle, choice] = owner->second;
    RunningRequest& request = *requests_[handle];
    if (!result.samples[i].tokens.empty()) request.OnFirstToken(now);
    for (SampledToken& token : result.samples[i].tokens) {
      // What drafts added beyond the end is as if it had never been.
      if (request.choice_done(choice)) break;
      request.Append(choice, token.id, std::move(token.logprobs));
    }
    if (request.choice_done(choice)) {
      RemoveEndedChoices(handle);
    } else if (result.samples[i].bad_logits) {
      FailForBadLogits(handle);
    }
  }
}

void Engine::RemoveEndedChoices(RequestHandle handle) {
  const RunningRequest& request = *requests_[handle];
  for (int choice = 0; choice < request.num_choices(); ++choice) {
    const SequenceId id = request.sequence(choice);
    if (request.choice_done(choice)) RemoveSequence(id);
  }
  if (request.done()) EndRequest(handle, absl::OkStatus());
}

void Engine::EndRequest(RequestHandle handle, const absl::Status& status) {
  const auto found = requests_.find(handle);
  if (found == requests_.end()) return;
  const std::unique_ptr<RunningRequest> request = std::move(found->second);
  requests_.erase(found);
  if (const auto& deadline = request->request().deadline) deadlines_.erase({*deadline, handle});
  for (int choice = 0; choice < request->num_choices(); ++choice) {
    RemoveSequence(request->sequence(choice));
  }
  const Clock::TimePoint now = clock_.Now();
  {
    // Before the sink hears of it: whoever it tells may use the name again at once.
    const std::lock_guard lock(mutex_);
    NoteFinish(now, request->num_choices());
    handles_.erase(request->request().id);
  }
  events_.OnRequestDone(request->Finish(status, now));
  const std::lock_guard lock(mutex_);
  if (--num_unfinished_ == 0) idle_changed_.notify_all();
}

void Engine::RemoveSequence(SequenceId id) {
  if (sequences_.erase(id) == 0) return;
  const SchedulerLoad before = scheduler_.Load();
  scheduler_.Remove(id);
  const SchedulerLoad after = scheduler_.Load();
  // By the difference: accepted requests may still be on their way to the scheduler.
  const std::lock_guard lock(mutex_);
  load_.waiting_sequences += after.waiting - before.waiting;
  load_.waiting_tokens += after.waiting_tokens - before.waiting_tokens;
  load_.free_rows += after.free_rows - before.free_rows;
}

void Engine::NoteFinish(Clock::TimePoint now, int num_choices) {
  // Waiting times follow the recent pace; a pause without work says nothing about it.
  constexpr double kWeight = 0.1;
  if (last_finish_) {
    const double interval =
        static_cast<double>(std::chrono::nanoseconds(now - *last_finish_).count()) / num_choices;
    const double mean = static_cast<double>(mean_finish_interval_.count());
    const double next = mean == 0 ? interval : mean + kWeight * (interval - mean);
    mean_finish_interval_ = std::chrono::nanoseconds(static_cast<int64_t>(next));
  }
  last_finish_ = now;
}

void Engine::EndAll(const absl::Status& status) {
  while (!requests_.empty()) EndRequest(requests_.begin()->first, status);
}

void Engine::PublishLoad() {
  const SchedulerLoad load = scheduler_.Load();
  const std::lock_guard lock(mutex_);
  load_ = {.waiting_sequences = load.waiting,
           .waiting_tokens = load.waiting_tokens,
           .free_rows = load.free_rows};
  for (const Command& command : commands_) {
    const auto* request = std::get_if<NewRequest>(&command);
    if (request == nullptr) continue;
    load_.waiting_sequences += request->request.n;
    load_.waiting_tokens +=
        static_cast<int64_t>(request->request.prompt.size() + request->request.output.size()) *
        request->request.n;
  }
}

}  // namespace sluice::worker
