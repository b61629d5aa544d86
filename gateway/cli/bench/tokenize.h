// SPDX-License-Identifier: Apache-2.0
// Token counts from a server's own /tokenize, as vLLM and Sluice have it (not OpenAI's
// API). Blocks; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/cli/bench/http_target.h"
#include "gateway/cli/http_client.h"

namespace sluice::gateway {

// Tokens of `text` as the endpoint would prompt with it: for chat, as one user message in the chat
// template. An error when the server has no such route or answers in another shape; CANCELLED when
// `interrupt_fd` became readable.
absl::StatusOr<int64_t> CountTokens(const HttpUrl& url, HttpEndpoint endpoint,
                                    const GenerationSettings& settings, const std::string& text,
                                    int interrupt_fd);

}  // namespace sluice::gateway
