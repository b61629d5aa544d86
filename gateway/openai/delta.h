// SPDX-License-Identifier: Apache-2.0
// ChoiceDelta: what one choice gained since its last delta. Both answers, streamed and whole, of
// both APIs, HTTP and gRPC, are made of nothing else, so that they cannot differ. Plain data; made
// by gateway/session, turned into JSON by this folder and into proto messages by gateway/server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sluice::gateway {

// One entry per counted id, in order.
struct LogprobEntry {
  struct Alternative {
    int32_t id = 0;
    std::string token;  // exact bytes, possibly a part of a character
    float logprob = 0.0f;
  };
  int32_t id = 0;
  std::string token;  // exact bytes, possibly a part of a character
  // What of `token` is in the output: all of it, or less for a stop id, a skipped special token or
  // what a stop string cut off. Joined over all entries these are the output's bytes.
  std::string output_bytes;
  std::optional<float> logprob;  // absent for a prompt's first id
  std::vector<Alternative> top;  // most likely first
};

// The first delta of a call has id and name; later ones have only a fragment of the arguments.
// Joined fragments are the arguments.
struct ToolCallDelta {
  int index = 0;
  std::string id;
  std::string name;
  std::string arguments;
};

enum class ChoiceEnd { kNone, kStop, kLength, kToolCalls };

// "stop", "length", "tool_calls"; empty for kNone.
const char* ChoiceEndName(ChoiceEnd end);

struct ChoiceDelta {
  int choice = 0;
  std::string reasoning;
  std::string content;  // completions: the text
  std::vector<ToolCallDelta> tool_calls;
  std::vector<LogprobEntry> logprobs;  // entries may come with a later delta than their text's
  // Of the prompt's ids, the first one included; every choice of a prompt gets them, before all
  // else. Their output_bytes say nothing.
  std::vector<LogprobEntry> prompt_logprobs;
  ChoiceEnd end = ChoiceEnd::kNone;  // set on the choice's last delta only
  // What stopped the choice, with end: a stop string, or one of the request's stop_token_ids.
  std::variant<std::monostate, std::string, int32_t> stop_reason;
  // Ids of this choice so far, this delta's included.
  int completion_tokens = 0;
  int reasoning_tokens = 0;
};

// Appends `delta` to `whole`: strings joined, tool calls merged by index, counts and the end taken
// over.
void JoinDelta(const ChoiceDelta& delta, ChoiceDelta& whole);

// Sums over all choices.
struct ResponseUsage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
  int reasoning_tokens = 0;
};

}  // namespace sluice::gateway
