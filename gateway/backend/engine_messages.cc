// SPDX-License-Identifier: Apache-2.0
#include "gateway/backend/engine_messages.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {

namespace pb = ::sluice::worker::v1;

namespace {

absl::StatusOr<std::vector<TokenLogprobs>> FromProto(
    const google::protobuf::RepeatedPtrField<pb::TokenLogprobs>& entries) {
  std::vector<TokenLogprobs> result;
  result.reserve(static_cast<size_t>(entries.size()));
  for (const pb::TokenLogprobs& from : entries) {
    if (from.top_ids_size() != from.top_logprobs_size()) {
      return absl::InternalError(absl::StrCat("the worker sent ", from.top_logprobs_size(),
                                              " log probabilities for ", from.top_ids_size(),
                                              " most likely ids"));
    }
    TokenLogprobs& to = result.emplace_back();
    to.logprob = from.logprob();
    to.top_ids.assign(from.top_ids().begin(), from.top_ids().end());
    to.top_logprobs.assign(from.top_logprobs().begin(), from.top_logprobs().end());
  }
  return result;
}

}  // namespace

pb::GenerateRequest ToProto(const GenerateRequest& request) {
  pb::GenerateRequest message;
  message.set_request_id(request.request_id);
  message.mutable_prompt_ids()->Add(request.prompt_ids.begin(), request.prompt_ids.end());
  message.mutable_output_ids()->Add(request.output_ids.begin(), request.output_ids.end());
  message.set_n(static_cast<uint32_t>(request.n));
  message.set_priority(request.priority);
  message.set_cache_salt(request.cache_salt);

  const SamplingParams& from = request.sampling;
  pb::SamplingParams& to = *message.mutable_sampling();
  if (from.temperature) to.set_temperature(*from.temperature);
  if (from.top_k) to.set_top_k(static_cast<uint32_t>(*from.top_k));
  if (from.top_p) to.set_top_p(*from.top_p);
  if (from.min_p) to.set_min_p(*from.min_p);
  if (from.repetition_penalty) to.set_repetition_penalty(*from.repetition_penalty);
  if (from.presence_penalty) to.set_presence_penalty(*from.presence_penalty);
  if (from.frequency_penalty) to.set_frequency_penalty(*from.frequency_penalty);
  for (const auto& [id, bias] : from.logit_bias) (*to.mutable_logit_bias())[id] = bias;
  to.mutable_allowed_token_ids()->Add(from.allowed_token_ids.begin(), from.allowed_token_ids.end());
  to.mutable_banned_token_ids()->Add(from.banned_token_ids.begin(), from.banned_token_ids.end());
  to.set_max_tokens(static_cast<uint32_t>(from.max_tokens));
  to.set_min_tokens(static_cast<uint32_t>(from.min_tokens));
  to.set_ignore_eos(from.ignore_eos);
  to.mutable_stop_token_ids()->Add(from.stop_token_ids.begin(), from.stop_token_ids.end());
  if (from.logprobs) to.set_logprobs(static_cast<uint32_t>(*from.logprobs));
  if (from.seed) to.set_seed(*from.seed);
  if (from.prompt_logprobs) to.set_prompt_logprobs(static_cast<uint32_t>(*from.prompt_logprobs));
  return message;
}

pb::CancelRequest::Reason ToProto(CancelReason reason) {
  switch (reason) {
    case CancelReason::kStopString:
      return pb::CancelRequest::REASON_STOP_STRING;
    case CancelReason::kDisconnect:
      return pb::CancelRequest::REASON_DISCONNECT;
    case CancelReason::kDeadline:
      return pb::CancelRequest::REASON_DEADLINE;
  }
  return pb::CancelRequest::REASON_UNSPECIFIED;
}

absl::StatusOr<TokenChunk> FromProto(const pb::GenerateResponse& response, int n) {
  if (response.choice() >= static_cast<uint32_t>(n)) {
    return absl::InternalError(absl::StrCat("the worker answered for choice ", response.choice(),
                                            " of a request with ", n));
  }
  if (response.logprobs_size() != 0 && response.logprobs_size() != response.ids_size()) {
    return absl::InternalError(absl::StrCat("the worker sent ", response.logprobs_size(),
                                            " log probabilities for ", response.ids_size(),
                                            " ids"));
  }
  TokenChunk chunk;
  chunk.choice = static_cast<int>(response.choice());
  chunk.ids.assign(response.ids().begin(), response.ids().end());
  SLUICE_ASSIGN_OR_RETURN(chunk.logprobs, FromProto(response.logprobs()));
  SLUICE_ASSIGN_OR_RETURN(chunk.prompt_logprobs, FromProto(response.prompt_logprobs()));
  switch (response.finish_reason()) {
    case pb::FINISH_REASON_UNSPECIFIED:
      break;
    case pb::FINISH_REASON_STOP:
      chunk.finish = FinishReason::kStop;
      break;
    case pb::FINISH_REASON_LENGTH:
      chunk.finish = FinishReason::kLength;
      break;
    case pb::FINISH_REASON_CANCELLED:
      chunk.finish = FinishReason::kCancelled;
      break;
    default:
      return absl::InternalError(absl::StrCat("the worker sent an unknown finish reason ",
                                              static_cast<int>(response.finish_reason())));
  }
  if (response.has_stop_id()) chunk.stop_id = response.stop_id();
  chunk.usage.prompt_tokens = static_cast<int>(response.usage().prompt_tokens());
  chunk.usage.completion_tokens = static_cast<int>(response.usage().completion_tokens());
  chunk.usage.cached_tokens = static_cast<int>(response.usage().cached_tokens());
  return chunk;
}

ModelInfo FromProto(const pb::ModelInfo& info) {
  ModelInfo result;
  result.model = info.model();
  result.max_model_len = static_cast<int>(info.max_model_len());
  result.vocab_size = static_cast<int>(info.vocab_size());
  result.eos_ids.assign(info.eos_ids().begin(), info.eos_ids().end());
  const pb::SamplingParams& from = info.sampling_defaults();
  SamplingParams& to = result.sampling_defaults;
  if (from.has_temperature()) to.temperature = from.temperature();
  // These are not optional on the wire: zero means that nothing was said, and does what absence
  // does.
  if (from.top_k() != 0) to.top_k = static_cast<int>(from.top_k());
  if (from.has_top_p()) to.top_p = from.top_p();
  if (from.min_p() != 0.0f) to.min_p = from.min_p();
  if (from.has_repetition_penalty()) to.repetition_penalty = from.repetition_penalty();
  if (from.presence_penalty() != 0.0f) to.presence_penalty = from.presence_penalty();
  if (from.frequency_penalty() != 0.0f) to.frequency_penalty = from.frequency_penalty();
  result.tokenizer_sha256 = info.tokenizer_sha256();
  result.tp_size = static_cast<int>(info.tp_size());
  result.device = info.device();
  result.rope_scaling = info.rope_scaling();
  result.max_num_seqs = static_cast<int>(info.max_num_seqs());
  return result;
}

}  // namespace sluice::gateway
