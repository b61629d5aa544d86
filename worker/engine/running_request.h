// SPDX-License-Identifier: Apache-2.0
// RunningRequest: one accepted request while it runs: how far each choice is, when it stops and
// why, and what its sink and the statistics are told. It knows nothing of pages and steps; the
// engine loop owns it and calls it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "worker/base/clock.h"
#include "worker/engine/engine_events.h"
#include "worker/engine/request.h"
#include "worker/engine/request_validation.h"
#include "worker/scheduler/scheduler.h"

namespace sluice::worker {

class RunningRequest {
 public:
  // REQUIRES: ValidateRequest(request, limits) is OK.
  RunningRequest(EngineRequest request, const ModelLimits& limits, std::shared_ptr<TokenSink> sink,
                 Clock::TimePoint arrival);

  int num_choices() const { return static_cast<int>(choices_.size()); }
  bool choice_done(int choice) const { return choices_[choice].done; }
  bool done() const { return num_open_ == 0; }
  const EngineRequest& request() const { return request_; }

  // The engine's name for the choice's sequence.
  SequenceId sequence(int choice) const { return choices_[choice].sequence; }
  // prompt_group: what the scheduler knows this request's choices by; used when there are several.
  SequenceSpec MakeSpec(int choice, SequenceId id, int64_t prompt_group);

  // Ends choices that need no step at all: a continued request may already be at its limit or at a
  // stop id.
  void EndFinishedChoices();

  // The choice generated an id: tells the sink, and ends the choice when it stops here.
  void Append(int choice, TokenId id, TokenLogprobs logprobs);

  // Ids of the prompt were scored, from first_position on: tells the sink what it has not heard
  // yet.
  void AppendPromptLogprobs(int first_position, std::vector<TokenLogprobs> logprobs);

  // Ends the open choices that the command names. Those that have ended stay as they are.
  void Cancel(const CancelCommand& command);

  // A choice took a row; cached_tokens of its ids were found in the prefix cache. The first time
  // says what usage reports: later choices share its pages, later times are the engine's affair.
  void OnAdmitted(Clock::TimePoint now, int cached_tokens);
  void OnFirstToken(Clock::TimePoint now);

  // The final word: the sink's OnDone. Called once.
  RequestStats Finish(const absl::Status& status, Clock::TimePoint now);

 private:
  struct Choice {
    SequenceId sequence = kNoSequence;
    int num_output = 0;  // request_.output included
    bool done = false;
    int usage_tokens = 0;  // once done: what usage counts
  };

  // Why the choice ends with this id as its last, or kNone.
  FinishReason StopsAt(const Choice& choice, TokenId id) const;
  bool IsStopId(TokenId id) const;
  void End(int choice, FinishReason reason, std::optional<TokenId> stop_id, int usage_tokens,
           ChoiceChunk chunk);

  EngineRequest request_;
  const std::vector<TokenId> stop_ids_;  // the model's, unless ignore_eos, and the request's
  const int max_length_;                 // prompt and output together
  const std::shared_ptr<TokenSink> sink_;
  const Clock::TimePoint arrival_;
  std::shared_ptr<const std::vector<TokenId>> prompt_;
  std::shared_ptr<const SamplingParams> params_;
  std::vector<Choice> choices_;
  int num_open_ = 0;
  int next_scored_ = 1;  // position of the prompt's first id whose score the sink does not have
  bool cancelled_ = false;
  bool deadline_ = false;
  int dropped_tokens_ = 0;
  int cached_tokens_ = 0;  // of the prompt
  std::optional<std::chrono::nanoseconds> queue_time_;
  std::optional<std::chrono::nanoseconds> first_token_;
};

}  // namespace sluice::worker
