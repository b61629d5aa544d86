// SPDX-License-Identifier: Apache-2.0
#include "worker/engine/running_request.h"

#include <algorithm>
#include <utility>

namespace sluice::worker {
namespace {

std::vector<TokenId> StopIds(const SamplingParams& params, const ModelLimits& limits) {
  std::vector<TokenId> ids = params.stop_token_ids;
  if (!params.ignore_eos) ids.insert(ids.end(), limits.eos_ids.begin(), limits.eos_ids.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

int MaxLength(const EngineRequest& request, const ModelLimits& limits) {
  const int prompt = static_cast<int>(request.prompt.size());
  const int room = limits.max_model_len - prompt;
  const int max_tokens = request.params.max_tokens;
  return prompt + (max_tokens == 0 ? room : std::min(room, max_tokens));
}

}  // namespace

RunningRequest::RunningRequest(EngineRequest request, const ModelLimits& limits,
                               std::shared_ptr<TokenSink> sink, Clock::TimePoint arrival)
    : request_(std::move(request)),
      stop_ids_(StopIds(request_.params, limits)),
      max_length_(MaxLength(request_, limits)),
      sink_(std::move(sink)),
      arrival_(arrival),
      prompt_(std::make_shared<const std::vector<TokenId>>(request_.prompt)),
      params_(std::make_shared<const SamplingParams>(request_.params)),
      choices_(static_cast<size_t>(request_.n)),
      num_open_(request_.n) {
  for (Choice& choice : choices_) choice.num_output = static_cast<int>(request_.output.size());
}

SequenceSpec RunningRequest::MakeSpec(int choice, SequenceId id, int64_t prompt_group) {
  choices_[choice].sequence = id;
  const bool tells_scores = choice == 0 && params_->prompt_logprobs.has_value();
  return {.id = id,
          .priority = request_.priority,
          .max_length = max_length_,
          .choice = static_cast<uint32_t>(request_.first_choice + choice),
          .prompt = prompt_,
          .output = request_.output,
          .params = params_,
          .stop_ids = stop_ids_,
          .cache_salt = request_.cache_salt,
          .prompt_group = request_.n > 1 ? prompt_group : 0,
          // The choices share one prompt: one of them computes it whole and tells its scores.
          .prompt_logprobs = tells_scores,
          .read_prefix_cache = !tells_scores};
}

bool RunningRequest::IsStopId(TokenId id) const {
  return std::binary_search(stop_ids_.begin(), stop_ids_.end(), id);
}

FinishReason RunningRequest::StopsAt(const Choice& choice, TokenId id) const {
  // The sampler masks stop ids before min_tokens; allowed ids beyond it count as usual.
  if (choice.num_output > request_.params.min_tokens && IsStopId(id)) return FinishReason::kStop;
  if (static_cast<int>(prompt_->size()) + choice.num_output >= max_length_) {
    return FinishReason::kLength;
  }
  return FinishReason::kNone;
}

void RunningRequest::EndFinishedChoices() {
  if (request_.output.empty()) return;
  const TokenId last = request_.output.back();
  for (int i = 0; i < num_choices(); ++i) {
    const FinishReason reason = StopsAt(choices_[i], last);
    if (reason == FinishReason::kNone) continue;
    const auto stop_id = reason == FinishReason::kStop ? std::optional(last) : std::nullopt;
    End(i, reason, stop_id, choices_[i].num_output, {});
  }
}

void RunningRequest::Append(int index, TokenId id, TokenLogprobs logprobs) {
  Choice& choice = choices_[index];
  ++choice.num_output;
  ChoiceChunk chunk{.choice = index, .ids = {id}};
  if (request_.params.logprobs) chunk.logprobs.push_back(std::move(logprobs));
  const FinishReason reason = StopsAt(choice, id);
  if (reason == FinishReason::kNone) {
    sink_->OnChunk(std::move(chunk));
    return;
  }
  const auto stop_id = reason == FinishReason::kStop ? std::optional(id) : std::nullopt;
  End(index, reason, stop_id, choice.num_output, std::move(chunk));
}

void RunningRequest::AppendPromptLogprobs(int first_position, std::vector<TokenLogprobs> logprobs) {
  // A preempted sequence computes its prompt again.
  const int known = std::max(0, next_scored_ - first_position);
  if (known >= static_cast<int>(logprobs.size())) return;
  logprobs.erase(logprobs.begin(), logprobs.begin() + known);
  next_scored_ += static_cast<int>(logprobs.size());
  sink_->OnChunk({.choice = 0, .prompt_logprobs = std::move(logprobs)});
}

void RunningRequest::Cancel(const CancelCommand& command) {
  for (int i = 0; i < num_choices(); ++i) {
    Choice& choice = choices_[i];
    if (choice.done || (command.choice && *command.choice != i)) continue;
    if (command.reason == CancelReason::kStopString) {
      // What was generated beyond the match is as if it had never been.
      const int counted = std::clamp(command.completion_tokens, 0, choice.num_output);
      dropped_tokens_ += choice.num_output - counted;
      End(i, FinishReason::kStop, std::nullopt, counted, {});
      continue;
    }
    cancelled_ = true;
    deadline_ |= command.reason == CancelReason::kDeadline;
    End(i, FinishReason::kCancelled, std::nullopt, choice.num_output, {});
  }
}

void RunningRequest::End(int index, FinishReason reason, std::optional<TokenId> stop_id,
                         int usage_tokens, ChoiceChunk chunk) {
  Choice& choice = choices_[index];
  choice.done = true;
  choice.usage_tokens = usage_tokens;
  --num_open_;
  chunk.choice = index;
  chunk.finish = reason;
  chunk.stop_id = stop_id;
  chunk.usage = {.prompt_tokens = static_cast<int>(prompt_->size()),
                 .completion_tokens = usage_tokens,
                 .cached_tokens = cached_tokens_};
  sink_->OnChunk(std::move(chunk));
}

void RunningRequest::OnAdmitted(Clock::TimePoint now, int cached_tokens) {
  if (queue_time_) return;
  queue_time_ = now - arrival_;
  cached_tokens_ = std::min(cached_tokens, static_cast<int>(prompt_->size()));
}

void RunningRequest::OnFirstToken(Clock::TimePoint now) {
  if (!first_token_) first_token_ = now - arrival_;
}

RequestStats RunningRequest::Finish(const absl::Status& status, Clock::TimePoint now) {
  sink_->OnDone(status);
  RequestStats stats;
  stats.id = request_.id;
  stats.status = status;
  stats.cancelled = cancelled_;
  stats.deadline = deadline_;
  stats.prompt_tokens = static_cast<int>(prompt_->size());
  for (const Choice& choice : choices_) {
    stats.completion_tokens += choice.done ? choice.usage_tokens : choice.num_output;
  }
  stats.dropped_tokens = dropped_tokens_;
  stats.cached_tokens = cached_tokens_;
  stats.queue_time = queue_time_;
  stats.first_token = first_token_;
  stats.duration = now - arrival_;
  return stats;
}

}  // namespace sluice::worker
