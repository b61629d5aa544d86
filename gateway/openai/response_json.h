// SPDX-License-Identifier: Apache-2.0
// The parts of a body that chat and completions write alike; private to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/openai/delta.h"
#include "gateway/openai/json_writer.h"
#include "gateway/openai/response_header.h"

namespace sluice::gateway {

// id, object, created, model: the first fields of every body and chunk. REQUIRES: json is inside an
// object.
void WriteHeader(const ResponseHeader& header, std::string_view object, JsonWriter& json);

// The value of "usage".
void WriteUsage(const ResponseUsage& usage, JsonWriter& json);

// "finish_reason" and, when the choice has ended, "stop_reason".
void WriteEnd(const ChoiceDelta& delta, JsonWriter& json);

// A chunk without choices, for usage alone.
std::string UsageChunk(const ResponseHeader& header, std::string_view object,
                       const ResponseUsage& usage);

// The usage of one choice so far.
ResponseUsage UsageSoFar(const ChoiceDelta& delta, int prompt_tokens);

// The value of a chat choice's "logprobs".
void WriteChatLogprobs(const std::vector<LogprobEntry>& entries, JsonWriter& json);

// The value of "prompt_logprobs", as vLLM writes it: for each id of the prompt an object by id,
// null for the first one.
void WritePromptLogprobs(const std::vector<LogprobEntry>& entries, JsonWriter& json);

// The value of a completion choice's "logprobs". `offset` is the number of characters before the
// first entry, and is moved on.
void WriteCompletionLogprobs(const std::vector<LogprobEntry>& entries, int64_t& offset,
                             JsonWriter& json);

}  // namespace sluice::gateway
