// SPDX-License-Identifier: Apache-2.0
// What the engine takes and gives: one request in, chunks of ids and exactly one final status out.
// Plain structs, so that the engine and its tests need no gRPC; worker/service translates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/base/clock.h"
#include "worker/base/ids.h"
#include "worker/base/sampling_params.h"
#include "worker/executor/executor.h"

namespace sluice::worker {

struct EngineRequest {
  std::string id;  // unique among running requests; empty: nobody will name it
  std::vector<TokenId> prompt;
  std::vector<TokenId> output;  // generated elsewhere: counts as output everywhere
  int n = 1;
  int first_choice = 0;  // added to a choice's number where it keys draws
  SamplingParams params;
  int priority = 0;        // larger runs first
  std::string cache_salt;  // keys the prefix cache
  std::optional<Clock::TimePoint> deadline{};
};

enum class FinishReason { kNone, kStop, kLength, kCancelled };

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;  // of the prompt, found in the prefix cache
};

// What one choice generated since its last chunk.
struct ChoiceChunk {
  int choice = 0;
  std::vector<TokenId> ids{};             // the stop id included
  std::vector<TokenLogprobs> logprobs{};  // one per id when asked for
  // Of the prompt's next ids, beginning with its second; such a chunk (choice 0) carries nothing
  // else.
  std::vector<TokenLogprobs> prompt_logprobs{};
  FinishReason finish = FinishReason::kNone;
  std::optional<TokenId> stop_id{};  // the stop id that ended the choice
  Usage usage{};                     // with the last chunk only
};

// Receives one request's events in order, on the engine thread: must not block, and must not call
// the engine back.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void OnChunk(ChoiceChunk chunk) = 0;
  // Exactly once for an accepted request, and last. OK when every choice has had its last chunk.
  virtual void OnDone(const absl::Status& status) = 0;
};

enum class CancelReason { kStopString, kDisconnect, kDeadline };

struct CancelCommand {
  std::optional<int> choice{};  // nothing: all
  CancelReason reason = CancelReason::kDisconnect;
  // With kStopString: ids (EngineRequest::output included) up to the one that completes the match.
  int completion_tokens = 0;
};

}  // namespace sluice::worker
