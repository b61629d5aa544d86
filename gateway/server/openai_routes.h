// SPDX-License-Identifier: Apache-2.0
// The OpenAI API over HTTP: chat completions, completions, models, and vLLM's tokenize and
// detokenize. Routes only move requests to the work pool and answers to exchanges.
#pragma once

#include "gateway/server/api_context.h"
#include "gateway/server/router.h"

namespace sluice::gateway {

// Also sets the router's gate: these paths, and no others, ask context.admit.
void AddOpenAiRoutes(const ApiContext& context, Router& router);

}  // namespace sluice::gateway
