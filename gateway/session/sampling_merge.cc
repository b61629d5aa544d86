// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/sampling_merge.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/openai/error.h"
#include "gateway/session/random_ids.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

// Below this, logits divided by the temperature overflow; vLLM draws the same line.
constexpr float kMinTemperature = 0.01f;

SamplingParams Defaults(const ModelInfo& model, SamplingDefaults mode, bool thinking) {
  SamplingParams params = model.sampling_defaults;
  if (mode == SamplingDefaults::kMode) {
    params.temperature = thinking ? 0.6f : 0.7f;
    params.top_p = thinking ? 0.95f : 0.8f;
    params.top_k = 20;
  }
  return params;
}

template <typename T>
void Override(const std::optional<T>& request, std::optional<T>& params) {
  if (request) params = request;
}

}  // namespace

absl::Status CheckIds(const std::vector<TokenId>& ids, int vocab_size, std::string_view param) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return FieldError(
        absl::StrCat(absl::string_view(param.data(), param.size()), "[", i, "]"),
        absl::StrCat("is token id ", ids[i], "; the model's ids go from 0 to ", vocab_size - 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<SamplingParams> MergeSampling(const GenerationOptions& request,
                                             const ModelInfo& model, SamplingDefaults mode,
                                             bool thinking, int prompt_tokens) {
  SamplingParams params = Defaults(model, mode, thinking);
  Override(request.temperature, params.temperature);
  Override(request.top_p, params.top_p);
  Override(request.top_k, params.top_k);
  Override(request.min_p, params.min_p);
  Override(request.presence_penalty, params.presence_penalty);
  Override(request.frequency_penalty, params.frequency_penalty);
  Override(request.repetition_penalty, params.repetition_penalty);
  if (params.top_k) params.top_k = std::max(*params.top_k, 0);
  if (params.temperature && *params.temperature > 0.0f) {
    params.temperature = std::max(*params.temperature, kMinTemperature);
  }
  for (const auto& [id, bias] : request.logit_bias) {
    if (id < 0 || id >= model.vocab_size) {
      return FieldError(
          absl::StrCat("logit_bias[", id, "]"),
          absl::StrCat("is no token id; the model's ids go from 0 to ", model.vocab_size - 1));
    }
  }
  SLUICE_RETURN_IF_ERROR(
      CheckIds(request.allowed_token_ids, model.vocab_size, "allowed_token_ids"));
  SLUICE_RETURN_IF_ERROR(CheckIds(request.stop_token_ids, model.vocab_size, "stop_token_ids"));
  params.logit_bias = request.logit_bias;
  params.allowed_token_ids = request.allowed_token_ids;
  params.stop_token_ids = request.stop_token_ids;
  const int room = model.max_model_len - prompt_tokens;
  // The worker generates at least one id; where none was asked for it is dropped.
  params.max_tokens = std::clamp(request.max_tokens.value_or(room), 1, std::max(room, 1));
  params.min_tokens = std::min(request.min_tokens, params.max_tokens);
  params.ignore_eos = request.ignore_eos;
  params.logprobs = request.logprobs;
  params.seed = request.seed ? *request.seed : RandomSeed();
  return params;
}

}  // namespace sluice::gateway
