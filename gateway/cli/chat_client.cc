// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/chat_client.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gateway/cli/openai_chunk.h"
#include "gateway/cli/sse_parser.h"

namespace sluice::gateway {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

const Json* Find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

std::string StringAt(const Json& object, const char* key) {
  const Json* value = Find(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

// Replacing invalid UTF-8 keeps dump() from throwing on what a terminal sent.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::Status ServerError(int status, const std::string& body) {
  return absl::FailedPreconditionError(
      absl::StrCat("the server answered ", status, ": ", OpenAiErrorMessage(body)));
}

// Reads the chunks of one streamed answer.
class AnswerStream {
 public:
  AnswerStream(Clock::time_point start, const AnswerReader& on_piece)
      : start_(start), on_piece_(on_piece) {}

  void Read(int status, std::string_view piece) {
    if (status != 200) {
      error_body_.append(piece);
      return;
    }
    parser_.Feed(piece, [this](std::string_view event) { ReadEvent(event); });
  }

  const std::string& text() const { return text_; }
  const std::string& error_body() const { return error_body_; }
  const absl::Status& error() const { return error_; }
  AnswerStats stats() const { return stats_; }
  bool done() const { return done_; }

 private:
  void ReadEvent(std::string_view event) {
    if (event == "[DONE]") {
      done_ = true;
      return;
    }
    const std::optional<OpenAiChunk> chunk = ReadOpenAiChunk(event);
    if (!chunk.has_value()) return;
    if (chunk->error.has_value()) {
      error_ = absl::UnavailableError(absl::StrCat("the server ended the answer: ", *chunk->error));
      return;
    }
    if (chunk->usage.has_value() && chunk->usage->completion_tokens >= 0) {
      stats_.completion_tokens = static_cast<int>(chunk->usage->completion_tokens);
    }
    if (!chunk->finish_reason.empty()) stats_.finish_reason = chunk->finish_reason;
    Emit(AnswerPart::kThinking, chunk->reasoning);
    text_ += chunk->content;
    Emit(AnswerPart::kText, chunk->content);
  }

  void Emit(AnswerPart part, const std::string& piece) {
    if (piece.empty()) return;
    if (!began_) stats_.to_first_token = Clock::now() - start_;
    began_ = true;
    on_piece_(part, piece);
  }

  const Clock::time_point start_;
  const AnswerReader& on_piece_;
  SseParser parser_;
  AnswerStats stats_;
  std::string text_;
  std::string error_body_;
  absl::Status error_;
  bool began_ = false;
  bool done_ = false;
};

}  // namespace

absl::StatusOr<std::string> FirstServedModel(const HttpUrl& url, const std::string& bearer_token) {
  HttpLimits limits;
  limits.silence = std::chrono::seconds(10);
  std::string body;
  const absl::StatusOr<int> status =
      Fetch({url, "/v1/models", "", bearer_token}, limits,
            [&body](int, std::string_view piece) { body.append(piece); });
  if (!status.ok()) return status.status();
  if (*status != 200) return ServerError(*status, body);
  const Json parsed = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const Json* data = Find(parsed, "data");
  std::string model;
  if (data != nullptr && data->is_array() && !data->empty()) model = StringAt(data->front(), "id");
  if (!model.empty()) return model;
  return absl::UnavailableError("the server lists no model yet; try again, or give --model");
}

absl::Status ChatClient::Connect() {
  if (!options_.model.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> model = FirstServedModel(options_.url, options_.bearer_token);
  if (!model.ok()) return model.status();
  options_.model = *model;
  return absl::OkStatus();
}

std::string ChatClient::RequestBody(const std::string& prompt) const {
  Json messages = Json::array();
  if (!options_.system_prompt.empty()) {
    messages.push_back({{"role", "system"}, {"content", options_.system_prompt}});
  }
  for (const Turn& turn : turns_) {
    messages.push_back({{"role", turn.role}, {"content", turn.content}});
  }
  messages.push_back({{"role", "user"}, {"content", prompt}});
  Json body = {{"model", options_.model},
               {"messages", std::move(messages)},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}}};
  if (options_.enable_thinking.has_value()) {
    body["chat_template_kwargs"] = {{"enable_thinking", *options_.enable_thinking}};
  }
  if (options_.temperature.has_value()) body["temperature"] = *options_.temperature;
  if (options_.top_p.has_value()) body["top_p"] = *options_.top_p;
  if (options_.seed.has_value()) body["seed"] = *options_.seed;
  if (options_.max_tokens.has_value()) body["max_tokens"] = *options_.max_tokens;
  return Dump(body);
}

absl::StatusOr<AnswerStats> ChatClient::Ask(const std::string& prompt, int interrupt_fd,
                                            const AnswerReader& on_piece) {
  const Clock::time_point start = Clock::now();
  AnswerStream answer(start, on_piece);
  HttpLimits limits;
  limits.interrupt_fd = interrupt_fd;
  const HttpRequest request{options_.url, "/v1/chat/completions", RequestBody(prompt),
                            options_.bearer_token};
  const absl::StatusOr<int> status = Fetch(
      request, limits, [&answer](int code, std::string_view piece) { answer.Read(code, piece); });
  const bool interrupted = absl::IsCancelled(status.status());
  if (status.ok() || interrupted) {
    if (status.ok() && *status != 200) return ServerError(*status, answer.error_body());
    if (!answer.error().ok()) return answer.error();
    if (status.ok() && !answer.done()) {
      return absl::UnavailableError("the server closed the connection before the answer ended");
    }
    turns_.push_back({"user", prompt});
    turns_.push_back({"assistant", answer.text()});
  }
  if (!status.ok()) return status.status();
  AnswerStats stats = answer.stats();
  stats.total = Clock::now() - start;
  return stats;
}

}  // namespace sluice::gateway
