// SPDX-License-Identifier: Apache-2.0
// Prompts from a file: JSON lines, or one JSON array, of objects with `prompt` (text) or `messages`
// (OpenAI's, contents as text), or `conversations` as ShareGPT's exports have them (the first
// question is asked); `max_tokens` may say how long the answer may be. Read once, at the start.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/cli/bench/load_target.h"

namespace sluice::gateway {

// max_tokens is 0 where the file does not say. INVALID_ARGUMENT names the entry that is wrong, or
// the file when it cannot be read or holds none. Entries without a question are left out.
absl::StatusOr<std::vector<LoadRequest>> ReadPromptFile(const std::string& path);
absl::StatusOr<std::vector<LoadRequest>> ParsePrompts(std::string_view text);

}  // namespace sluice::gateway
