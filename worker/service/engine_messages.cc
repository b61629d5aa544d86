// SPDX-License-Identifier: Apache-2.0
#include "worker/service/engine_messages.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

absl::StatusOr<int> ToInt(absl::string_view field, uint32_t value) {
  if (value > static_cast<uint32_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is too large"));
  }
  return static_cast<int>(value);
}

absl::StatusOr<SamplingParams> FromMessage(const v1::SamplingParams& message) {
  SamplingParams params;
  if (message.has_temperature()) params.temperature = message.temperature();
  SLUICE_ASSIGN_OR_RETURN(params.top_k, ToInt("sampling.top_k", message.top_k()));
  if (message.has_top_p()) params.top_p = message.top_p();
  params.min_p = message.min_p();
  if (message.has_repetition_penalty()) params.repetition_penalty = message.repetition_penalty();
  params.presence_penalty = message.presence_penalty();
  params.frequency_penalty = message.frequency_penalty();
  params.logit_bias.assign(message.logit_bias().begin(), message.logit_bias().end());
  params.allowed_token_ids.assign(message.allowed_token_ids().begin(),
                                  message.allowed_token_ids().end());
  params.banned_token_ids.assign(message.banned_token_ids().begin(),
                                 message.banned_token_ids().end());
  SLUICE_ASSIGN_OR_RETURN(params.max_tokens, ToInt("sampling.max_tokens", message.max_tokens()));
  SLUICE_ASSIGN_OR_RETURN(params.min_tokens, ToInt("sampling.min_tokens", message.min_tokens()));
  params.ignore_eos = message.ignore_eos();
  params.stop_token_ids.assign(message.stop_token_ids().begin(), message.stop_token_ids().end());
  if (message.has_logprobs()) {
    SLUICE_ASSIGN_OR_RETURN(params.logprobs, ToInt("sampling.logprobs", message.logprobs()));
  }
  params.seed = message.seed();
  if (message.has_prompt_logprobs()) {
    SLUICE_ASSIGN_OR_RETURN(params.prompt_logprobs,
                            ToInt("sampling.prompt_logprobs", message.prompt_logprobs()));
  }
  return params;
}

v1::FinishReason ToMessage(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return v1::FINISH_REASON_UNSPECIFIED;
    case FinishReason::kStop:
      return v1::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

void AddLogprobs(const std::vector<TokenLogprobs>& logprobs,
                 google::protobuf::RepeatedPtrField<v1::TokenLogprobs>& out) {
  for (const TokenLogprobs& from : logprobs) {
    v1::TokenLogprobs& to = *out.Add();
    to.set_logprob(from.logprob);
    to.mutable_top_ids()->Add(from.top_ids.begin(), from.top_ids.end());
    to.mutable_top_logprobs()->Add(from.top_logprobs.begin(), from.top_logprobs.end());
  }
}

}  // namespace

absl::StatusOr<EngineRequest> FromMessage(const v1::GenerateRequest& message) {
  EngineRequest request;
  request.id = message.request_id();
  request.prompt.assign(message.prompt_ids().begin(), message.prompt_ids().end());
  request.output.assign(message.output_ids().begin(), message.output_ids().end());
  SLUICE_ASSIGN_OR_RETURN(request.n, ToInt("n", message.n()));
  if (request.n == 0) request.n = 1;
  SLUICE_ASSIGN_OR_RETURN(request.first_choice, ToInt("first_choice", message.first_choice()));
  SLUICE_ASSIGN_OR_RETURN(request.params, FromMessage(message.sampling()));
  request.priority = message.priority();
  request.cache_salt = message.cache_salt();
  return request;
}

absl::StatusOr<CancelCommand> FromMessage(const v1::CancelRequest& message) {
  CancelCommand command;
  if (message.has_choice()) {
    SLUICE_ASSIGN_OR_RETURN(command.choice, ToInt("choice", message.choice()));
  }
  SLUICE_ASSIGN_OR_RETURN(command.completion_tokens,
                          ToInt("completion_tokens", message.completion_tokens()));
  switch (message.reason()) {
    case v1::CancelRequest::REASON_STOP_STRING:
      command.reason = CancelReason::kStopString;
      return command;
    case v1::CancelRequest::REASON_DISCONNECT:
      command.reason = CancelReason::kDisconnect;
      return command;
    case v1::CancelRequest::REASON_DEADLINE:
      command.reason = CancelReason::kDeadline;
      return command;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("reason: ", static_cast<int>(message.reason()),
                       " is not STOP_STRING, DISCONNECT or DEADLINE"));
  }
}

v1::GenerateResponse ToMessage(ChoiceChunk chunk) {
  v1::GenerateResponse message;
  message.set_choice(static_cast<uint32_t>(chunk.choice));
  message.mutable_ids()->Add(chunk.ids.begin(), chunk.ids.end());
  AddLogprobs(chunk.logprobs, *message.mutable_logprobs());
  AddLogprobs(chunk.prompt_logprobs, *message.mutable_prompt_logprobs());
  message.set_finish_reason(ToMessage(chunk.finish));
  if (chunk.stop_id) message.set_stop_id(*chunk.stop_id);
  if (chunk.finish != FinishReason::kNone) {
    v1::Usage& usage = *message.mutable_usage();
    usage.set_prompt_tokens(static_cast<uint32_t>(chunk.usage.prompt_tokens));
    usage.set_completion_tokens(static_cast<uint32_t>(chunk.usage.completion_tokens));
    usage.set_cached_tokens(static_cast<uint32_t>(chunk.usage.cached_tokens));
  }
  return message;
}

void Merge(v1::GenerateResponse later, v1::GenerateResponse& message) {
  // Protobuf's own merge appends repeated fields and overwrites the others where the later message
  // sets them, which is what one message for both would say.
  message.MergeFrom(later);
}

}  // namespace sluice::worker
