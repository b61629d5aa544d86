// SPDX-License-Identifier: Apache-2.0
// WorkerClient: the gateway's hold on one worker group, in plain structs, so that session code and
// its tests need neither gRPC nor a worker. Field meanings are those of sluice.worker.v1.Engine.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::gateway {

using TokenId = int32_t;

// Absent optionals take the worker's documented defaults.
struct SamplingParams {
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::vector<TokenId> allowed_token_ids;
  std::vector<TokenId> banned_token_ids;
  int max_tokens = 0;  // 0: up to the context length
  int min_tokens = 0;
  bool ignore_eos = false;
  std::vector<TokenId> stop_token_ids;
  std::optional<int> logprobs;  // the chosen id's, and the most likely k (0..20)
  std::optional<uint64_t> seed;
  std::optional<int> prompt_logprobs;  // those of the prompt's ids, and the most likely k (0..20)
};

struct TokenLogprobs {
  float logprob = 0.0f;
  std::vector<TokenId> top_ids;  // most likely first
  std::vector<float> top_logprobs;
};

enum class FinishReason { kNone, kStop, kLength, kCancelled };

struct TokenUsage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
};

struct GenerateRequest {
  std::string request_id;
  std::vector<TokenId> prompt_ids;
  std::vector<TokenId> output_ids;
  int n = 1;
  SamplingParams sampling;
  int priority = 0;
  std::string cache_salt;
  std::optional<std::chrono::system_clock::time_point> deadline;
  std::string traceparent;  // W3C header value, passed on; empty when the client sent none
};

// What one choice generated since its last chunk. finish is set on a choice's last chunk only.
struct TokenChunk {
  int choice = 0;
  std::vector<TokenId> ids;  // the stop id included
  std::vector<TokenLogprobs> logprobs;
  // Of the prompt's next ids, from its second on; such a chunk (choice 0) carries nothing else.
  std::vector<TokenLogprobs> prompt_logprobs;
  FinishReason finish = FinishReason::kNone;
  std::optional<TokenId> stop_id;
  TokenUsage usage;  // valid when finish is set
};

enum class CancelReason { kStopString, kDisconnect, kDeadline };

struct ModelInfo {
  std::string model;
  int max_model_len = 0;
  int vocab_size = 0;  // the tokenizer's; embedding rows beyond are padding
  std::vector<TokenId> eos_ids;
  SamplingParams sampling_defaults;
  std::string tokenizer_sha256;
  int tp_size = 0;
  std::string device;
  std::string rope_scaling;  // JSON, empty when none
  int max_num_seqs = 0;
};

// Receives one call's events, in order, one at a time, on a thread of the client; must not block.
// OnDone comes exactly once and last, also after Cancel; no call is made after it.
class TokenObserver {
 public:
  virtual ~TokenObserver() = default;
  virtual void OnChunk(TokenChunk chunk) = 0;
  virtual void OnDone(absl::Status status) = 0;
};

// A running call. Destroying it does not cancel. Thread safe. No method calls the observer from
// inside itself: they are called under the lock that the observer takes.
class GenerateCall {
 public:
  virtual ~GenerateCall() = default;
  // Ends the whole call: OnDone follows soon.
  virtual void Cancel(CancelReason reason) = 0;
  // Ends one choice because a stop string matched; completion_tokens counts ids up to the one that
  // completed the match. The choice's last chunk (finish kStop) still arrives.
  virtual void StopChoice(int choice, int completion_tokens) = 0;
};

class WorkerClient {
 public:
  virtual ~WorkerClient() = default;
  // Starts a call; the observer must outlive OnDone (the client keeps a reference). Thread safe,
  // never blocks.
  virtual std::shared_ptr<GenerateCall> Generate(GenerateRequest request,
                                                 std::shared_ptr<TokenObserver> observer) = 0;
  // What the backend serves; UNAVAILABLE while no group is ready. Thread safe, never blocks.
  virtual absl::StatusOr<ModelInfo> GetModelInfo() const = 0;
};

}  // namespace sluice::gateway
