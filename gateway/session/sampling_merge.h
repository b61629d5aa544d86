// SPDX-License-Identifier: Apache-2.0
// What a request asks for and what it leaves out, as the worker's sampling parameters. Pure
// functions, any thread.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/backend/worker_client.h"
#include "gateway/openai/generation_options.h"
#include "gateway/session/text_engine.h"

namespace sluice::gateway {

// `thinking`: the prompt leaves room for thinking; only kMode asks. max_tokens is held to what the
// context leaves after `prompt_tokens` (REQUIRES: at least one). A seed is drawn when the request
// has none. INVALID_ARGUMENT for ids outside the model's vocabulary.
absl::StatusOr<SamplingParams> MergeSampling(const GenerationOptions& request,
                                             const ModelInfo& model, SamplingDefaults mode,
                                             bool thinking, int prompt_tokens);

// INVALID_ARGUMENT unless every id has a place in the tokenizer: rows of the embedding beyond it
// are padding.
absl::Status CheckIds(const std::vector<TokenId>& ids, int vocab_size, std::string_view param);

}  // namespace sluice::gateway
