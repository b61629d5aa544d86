// SPDX-License-Identifier: Apache-2.0
// Whether a request can run on this model: every refusal is INVALID_ARGUMENT and begins with the
// field's name as the proto spells it. The executor relies on what is checked here (ids within the
// vocabulary, finite parameters). Pure function, any thread.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "worker/engine/request.h"

namespace sluice::worker {

struct ModelLimits {
  int max_model_len = 0;           // ids, prompt and output together
  int vocab_size = 0;              // the tokenizer's; embedding rows beyond are padding
  std::vector<TokenId> eos_ids{};  // stop unless ignore_eos
};

// Names end in logs.
inline constexpr int kMaxRequestIdBytes = 256;
inline constexpr int kMaxChoices = 128;
inline constexpr int kMaxTopLogprobs = 20;

absl::Status ValidateRequest(const EngineRequest& request, const ModelLimits& limits);

}  // namespace sluice::worker
