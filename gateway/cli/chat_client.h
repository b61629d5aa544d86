// SPDX-License-Identifier: Apache-2.0
// ChatClient: one conversation with an OpenAI-compatible endpoint. Keeps the turns, asks for the
// next one as a stream, hands out its pieces as they arrive. Owned by the chat command; single
// threaded.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/cli/http_client.h"

namespace sluice::gateway {

struct ChatOptions {
  HttpUrl url;
  std::string bearer_token;
  std::string model;  // empty: the first one the server lists
  std::string system_prompt;
  std::optional<bool> enable_thinking;  // absent: the model's default
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<uint64_t> seed;
  std::optional<int> max_tokens;
};

struct AnswerStats {
  std::chrono::duration<double> to_first_token{};
  std::chrono::duration<double> total{};
  int completion_tokens = 0;  // as the server counts them
  std::string finish_reason;
};

enum class AnswerPart { kThinking, kText };
// A piece of the answer as it arrives.
using AnswerReader = std::function<void(AnswerPart part, std::string_view piece)>;

// The first model that an OpenAI-compatible server lists. The server's own message when it refuses.
absl::StatusOr<std::string> FirstServedModel(const HttpUrl& url, const std::string& bearer_token);

class ChatClient {
 public:
  explicit ChatClient(ChatOptions options) : options_(std::move(options)) {}

  // Finds the model's name when none was given. The server's own message when it refuses.
  absl::Status Connect();
  const std::string& model() const { return options_.model; }

  // Sends `prompt` as the user's next turn. The turn and its answer enter the history when the
  // answer ended, also when it was interrupted (CANCELLED: what came is kept); on any other error
  // the history is as before.
  absl::StatusOr<AnswerStats> Ask(const std::string& prompt, int interrupt_fd,
                                  const AnswerReader& on_piece);

  void Clear() { turns_.clear(); }
  void set_enable_thinking(std::optional<bool> on) { options_.enable_thinking = on; }
  void set_system_prompt(std::string text) { options_.system_prompt = std::move(text); }

 private:
  struct Turn {
    std::string role;
    std::string content;
  };
  std::string RequestBody(const std::string& prompt) const;

  ChatOptions options_;
  std::vector<Turn> turns_;
};

}  // namespace sluice::gateway
