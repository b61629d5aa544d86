// SPDX-License-Identifier: Apache-2.0
#include "worker/engine/request_validation.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

absl::Status CheckId(absl::string_view field, TokenId id, const ModelLimits& limits) {
  if (id >= 0 && id < limits.vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": id ", id, " is not in the vocabulary (0 to ", limits.vocab_size - 1, ")"));
}

absl::Status CheckIds(absl::string_view field, const std::vector<TokenId>& ids,
                      const ModelLimits& limits) {
  for (TokenId id : ids) SLUICE_RETURN_IF_ERROR(CheckId(field, id, limits));
  return absl::OkStatus();
}

// Written so that a NaN fails.
absl::Status CheckRange(absl::string_view field, float value, float low, float high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is not between ", low, " and ", high));
}

absl::Status CheckLengths(const EngineRequest& request, const ModelLimits& limits) {
  if (request.prompt.empty()) {
    return absl::InvalidArgumentError("prompt_ids: must hold at least one id");
  }
  const size_t prompt = request.prompt.size();
  const size_t context = static_cast<size_t>(limits.max_model_len);
  if (prompt + 1 > context) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt_ids: ", prompt,
                     " prompt tokens and at least one to generate do not fit the "
                     "context of ",
                     context, " tokens; shorten the prompt"));
  }
  if (prompt + request.output.size() > context) {
    return absl::InvalidArgumentError(
        absl::StrCat("output_ids: ", prompt, " prompt and ", request.output.size(),
                     " output tokens do not fit the context of ", context, " tokens"));
  }
  if (request.n < 1 || request.n > kMaxChoices) {
    return absl::InvalidArgumentError(
        absl::StrCat("n: ", request.n, " is not between 1 and ", kMaxChoices));
  }
  if (request.first_choice < 0 || request.first_choice > kMaxChoices - request.n) {
    return absl::InvalidArgumentError(absl::StrCat("first_choice: ", request.first_choice,
                                                   " and n ", request.n, " make more than ",
                                                   kMaxChoices, " choices"));
  }
  if (request.n > 1 && !request.output.empty()) {
    return absl::InvalidArgumentError(
        "output_ids: only a request with n = 1 can be continued; continue each choice by itself, "
        "with first_choice");
  }
  return absl::OkStatus();
}

absl::Status CheckNumbers(const SamplingParams& params) {
  SLUICE_RETURN_IF_ERROR(CheckRange("sampling.temperature", params.temperature, 0.0f, 100.0f));
  SLUICE_RETURN_IF_ERROR(CheckRange("sampling.min_p", params.min_p, 0.0f, 1.0f));
  SLUICE_RETURN_IF_ERROR(
      CheckRange("sampling.presence_penalty", params.presence_penalty, -2.0f, 2.0f));
  SLUICE_RETURN_IF_ERROR(
      CheckRange("sampling.frequency_penalty", params.frequency_penalty, -2.0f, 2.0f));
  if (!(params.top_p > 0.0f && params.top_p <= 1.0f)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sampling.top_p: ", params.top_p, " is not above 0 and at most 1"));
  }
  if (!(params.repetition_penalty > 0.0f && params.repetition_penalty <= 100.0f)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sampling.repetition_penalty: ", params.repetition_penalty,
                     " is not above 0 and at most 100"));
  }
  if (params.top_k < 0) {
    return absl::InvalidArgumentError(absl::StrCat("sampling.top_k: ", params.top_k,
                                                   " must not be negative; 0 keeps all tokens"));
  }
  if (params.max_tokens < 0 || params.min_tokens < 0) {
    return absl::InvalidArgumentError(
        "sampling.max_tokens, sampling.min_tokens: must not be negative");
  }
  if (params.max_tokens > 0 && params.min_tokens > params.max_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("sampling.min_tokens: ", params.min_tokens,
                                                   " is above max_tokens ", params.max_tokens));
  }
  if (params.logprobs && (*params.logprobs < 0 || *params.logprobs > kMaxTopLogprobs)) {
    return absl::InvalidArgumentError(absl::StrCat("sampling.logprobs: ", *params.logprobs,
                                                   " is not between 0 and ", kMaxTopLogprobs));
  }
  if (params.prompt_logprobs &&
      (*params.prompt_logprobs < 0 || *params.prompt_logprobs > kMaxTopLogprobs)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sampling.prompt_logprobs: ", *params.prompt_logprobs,
                     " is not between 0 and ", kMaxTopLogprobs));
  }
  return absl::OkStatus();
}

// Executors keep room for as many entries as there are ids, and no more.
absl::Status CheckLength(absl::string_view field, size_t length, const ModelLimits& limits) {
  if (length <= static_cast<size_t>(limits.vocab_size)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", length, " entries are more than the ",
                                                 limits.vocab_size, " ids of the vocabulary"));
}

absl::Status CheckMasks(const SamplingParams& params, const ModelLimits& limits) {
  SLUICE_RETURN_IF_ERROR(
      CheckLength("sampling.allowed_token_ids", params.allowed_token_ids.size(), limits));
  SLUICE_RETURN_IF_ERROR(
      CheckLength("sampling.banned_token_ids", params.banned_token_ids.size(), limits));
  SLUICE_RETURN_IF_ERROR(
      CheckLength("sampling.stop_token_ids", params.stop_token_ids.size(), limits));
  SLUICE_RETURN_IF_ERROR(CheckLength("sampling.logit_bias", params.logit_bias.size(), limits));
  SLUICE_RETURN_IF_ERROR(CheckIds("sampling.allowed_token_ids", params.allowed_token_ids, limits));
  SLUICE_RETURN_IF_ERROR(CheckIds("sampling.banned_token_ids", params.banned_token_ids, limits));
  SLUICE_RETURN_IF_ERROR(CheckIds("sampling.stop_token_ids", params.stop_token_ids, limits));
  std::unordered_set<TokenId> biased;
  for (const auto& [id, bias] : params.logit_bias) {
    if (!biased.insert(id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("sampling.logit_bias: id ", id, " is named twice"));
    }
    SLUICE_RETURN_IF_ERROR(CheckId("sampling.logit_bias", id, limits));
    if (!std::isfinite(bias)) {
      return absl::InvalidArgumentError(
          absl::StrCat("sampling.logit_bias: the bias of id ", id, " is not a finite number"));
    }
  }
  // Something must remain to draw from, also while min_tokens masks the stop ids.
  std::unordered_set<TokenId> masked(params.banned_token_ids.begin(),
                                     params.banned_token_ids.end());
  if (params.min_tokens > 0) {
    masked.insert(params.stop_token_ids.begin(), params.stop_token_ids.end());
    if (!params.ignore_eos) masked.insert(limits.eos_ids.begin(), limits.eos_ids.end());
  }
  const auto open = [&](TokenId id) { return masked.count(id) == 0; };
  const auto& allowed = params.allowed_token_ids;
  const bool nothing_left = allowed.empty() ? static_cast<int>(masked.size()) >= limits.vocab_size
                                            : std::none_of(allowed.begin(), allowed.end(), open);
  if (nothing_left) {
    return absl::InvalidArgumentError(absl::StrCat(
        allowed.empty() ? "sampling.banned_token_ids" : "sampling.allowed_token_ids",
        ": together with banned ids, and the stop ids that min_tokens masks, no token is left to "
        "choose from"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateRequest(const EngineRequest& request, const ModelLimits& limits) {
  if (request.id.size() > kMaxRequestIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("request_id: ", request.id.size(),
                                                   " bytes are more than ", kMaxRequestIdBytes));
  }
  SLUICE_RETURN_IF_ERROR(CheckLengths(request, limits));
  SLUICE_RETURN_IF_ERROR(CheckIds("prompt_ids", request.prompt, limits));
  SLUICE_RETURN_IF_ERROR(CheckIds("output_ids", request.output, limits));
  SLUICE_RETURN_IF_ERROR(CheckNumbers(request.params));
  if (request.params.prompt_logprobs && !request.output.empty()) {
    return absl::InvalidArgumentError(
        "sampling.prompt_logprobs: a continued request (output_ids) has had them before");
  }
  return CheckMasks(request.params, limits);
}

}  // namespace sluice::worker
