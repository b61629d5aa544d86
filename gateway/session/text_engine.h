// SPDX-License-Identifier: Apache-2.0
// TextEngine: text in, text out, above token ids. Owns nothing but its options; makes one Session
// per accepted request. Created once by the gateway's main; const and thread safe afterwards.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/backend/worker_client.h"
#include "gateway/chat/chat_template.h"
#include "gateway/openai/chat_request.h"
#include "gateway/openai/completion_request.h"
#include "gateway/openai/tokenize_request.h"
#include "gateway/session/control_tokens.h"
#include "gateway/session/delta_sink.h"
#include "gateway/session/session.h"
#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

// What fills sampling parameters that a request leaves out: generation_config.json, or the model
// card's advice (thinking 0.6 / 0.95 / 20, not thinking 0.7 / 0.8 / 20).
enum class SamplingDefaults { kModel, kMode };

struct TextEngineOptions {
  // All three outlive the engine and its sessions.
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;
  WorkerClient* worker = nullptr;
  std::vector<std::string> served_model_names;  // the first one names answers; REQUIRES: not empty
  SamplingDefaults sampling_defaults = SamplingDefaults::kModel;
  bool trust_user_control_tokens = false;
};

// What belongs to a request but not to its body.
struct RequestContext {
  std::string request_id;
  std::optional<std::chrono::system_clock::time_point> deadline;
  std::string traceparent;  // W3C; empty: none
};

class TextEngine {
 public:
  explicit TextEngine(TextEngineOptions options);
  TextEngine(const TextEngine&) = delete;
  TextEngine& operator=(const TextEngine&) = delete;

  // Renders, encodes, checks and starts. An error means that nothing was started and the sink will
  // not be called: INVALID_ARGUMENT (a field, or a prompt beyond the context, with both numbers),
  // NOT_FOUND (the model's name), UNAVAILABLE (no group ready). After success the sink gets its one
  // OnEnd. Deltas may arrive before this returns.
  absl::StatusOr<std::shared_ptr<Session>> StartChat(const ChatRequest& request,
                                                     const RequestContext& context,
                                                     std::shared_ptr<DeltaSink> sink) const;
  absl::StatusOr<std::shared_ptr<Session>> StartCompletion(const CompletionRequest& request,
                                                           const RequestContext& context,
                                                           std::shared_ptr<DeltaSink> sink) const;

  absl::StatusOr<TokenizeResult> Tokenize(const TokenizeRequest& request) const;
  absl::StatusOr<std::string> Detokenize(const DetokenizeRequest& request) const;

  // NOT_FOUND unless the name is empty or served.
  absl::Status CheckModel(const std::string& model) const;

  const TextEngineOptions& options() const { return options_; }

 private:
  absl::StatusOr<std::vector<TokenId>> EncodeConversation(
      const ConversationOptions& conversation) const;

  const TextEngineOptions options_;
  const ControlTokens control_tokens_;
};

}  // namespace sluice::gateway
