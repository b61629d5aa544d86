// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/chat_client.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
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

// The server's own words where the body has OpenAI's shape.
absl::Status ServerError(int status, const std::string& body) {
  const Json parsed = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::string message;
  if (const Json* error = Find(parsed, "error")) message = StringAt(*error, "message");
  if (message.empty()) message = body.substr(0, 200);
  return absl::FailedPreconditionError(absl::StrCat("the server answered ", status, ": ", message));
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
    for (const std::string& event : parser_.Feed(piece)) ReadEvent(event);
  }

  const std::string& text() const { return text_; }
  const std::string& error_body() const { return error_body_; }
  const absl::Status& error() const { return error_; }
  AnswerStats stats() const { return stats_; }
  bool done() const { return done_; }

 private:
  void ReadEvent(const std::string& event) {
    if (event == "[DONE]") {
      done_ = true;
      return;
    }
    const Json chunk = Json::parse(event, nullptr, /*allow_exceptions=*/false);
    if (const Json* failure = Find(chunk, "error")) {
      error_ = absl::UnavailableError(
          absl::StrCat("the server ended the answer: ", StringAt(*failure, "message")));
      return;
    }
    if (const Json* usage = Find(chunk, "usage")) {
      const Json* tokens = Find(*usage, "completion_tokens");
      if (tokens != nullptr && tokens->is_number_integer()) {
        stats_.completion_tokens = tokens->get<int>();
      }
    }
    const Json* choices = Find(chunk, "choices");
    if (choices == nullptr || !choices->is_array() || choices->empty()) return;
    const Json& choice = choices->front();
    if (std::string reason = StringAt(choice, "finish_reason"); !reason.empty()) {
      stats_.finish_reason = std::move(reason);
    }
    if (const Json* delta = Find(choice, "delta")) ReadDelta(*delta);
  }

  void ReadDelta(const Json& delta) {
    std::string thinking = StringAt(delta, "reasoning_content");
    if (thinking.empty()) thinking = StringAt(delta, "reasoning");
    Emit(AnswerPart::kThinking, thinking);
    const std::string content = StringAt(delta, "content");
    text_ += content;
    Emit(AnswerPart::kText, content);
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

absl::Status ChatClient::Connect() {
  if (!options_.model.empty()) return absl::OkStatus();
  HttpLimits limits;
  limits.silence = std::chrono::seconds(10);
  std::string body;
  const HttpRequest request{options_.url, "/v1/models", "", options_.bearer_token};
  const absl::StatusOr<int> status =
      Fetch(request, limits, [&body](int, std::string_view piece) { body.append(piece); });
  if (!status.ok()) return status.status();
  if (*status != 200) return ServerError(*status, body);
  const Json parsed = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const Json* data = Find(parsed, "data");
  if (data != nullptr && data->is_array() && !data->empty()) {
    options_.model = StringAt(data->front(), "id");
  }
  if (options_.model.empty()) {
    return absl::UnavailableError("the server lists no model yet; try again, or give --model");
  }
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
