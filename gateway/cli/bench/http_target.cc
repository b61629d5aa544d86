// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/http_target.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/cli/sse_parser.h"

namespace sluice::gateway {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostErrorBytes = 4096;

// Reads one streamed answer into its record.
class AnswerReader {
 public:
  explicit AnswerReader(RequestRecord* record) : record_(record) {}

  void TakePiece(int status, std::string_view piece) {
    heard_ = true;
    if (status != 200) {
      if (error_body_.size() < kMostErrorBytes) error_body_.append(piece);
      return;
    }
    const BenchClock::time_point now = BenchClock::now();
    parser_.Feed(piece, [this, now](std::string_view event) { TakeEvent(event, now); });
  }

  void TakeEnd(const absl::StatusOr<HttpReply>& reply) {
    record_->ended = BenchClock::now();
    if (!reply.ok()) {
      const absl::Status& status = reply.status();
      const std::string message(status.message());
      if (absl::IsCancelled(status)) {
        record_->ending = Ending::kInterrupted;
      } else if (absl::IsDeadlineExceeded(status)) {
        record_->Fail("timeout", message);
      } else {
        record_->Fail(heard_ ? "cut_off" : "connection", message);
      }
    } else if (reply->status == 429) {
      record_->ending = Ending::kRefused;
      record_->error_detail = OpenAiErrorMessage(error_body_);
      double seconds = 0;
      if (absl::SimpleAtod(reply->retry_after, &seconds)) record_->retry_after_s = seconds;
    } else if (reply->status != 200) {
      record_->Fail(absl::StrCat("http_", reply->status), OpenAiErrorMessage(error_body_));
    } else if (!stream_error_.empty()) {
      record_->Fail("stream_error", stream_error_);
    } else if (done_ || !record_->finish_reason.empty()) {
      record_->ending = Ending::kFinished;
    } else {
      record_->Fail("cut_off", "the answer ended without a finish reason or [DONE]");
    }
  }

 private:
  void TakeEvent(std::string_view event, BenchClock::time_point now) {
    if (event == "[DONE]") {
      done_ = true;
      return;
    }
    const std::optional<OpenAiChunk> chunk = ReadOpenAiChunk(event);
    if (!chunk.has_value() || chunk->error.has_value()) {
      stream_error_ =
          chunk.has_value()
              ? absl::StrCat("the server ended the answer: ", *chunk->error)
              : absl::StrCat("an event is no JSON: ", std::string(event.substr(0, 200)));
      return;
    }
    if (chunk->usage.has_value()) record_->usage = *chunk->usage;
    if (!chunk->finish_reason.empty()) record_->finish_reason = chunk->finish_reason;
    if (chunk->HasText()) {
      record_->AddText(now, chunk->usage.has_value() ? chunk->usage->completion_tokens : -1);
    }
  }

  RequestRecord* const record_;
  SseParser parser_;
  std::string error_body_;
  std::string stream_error_;
  bool heard_ = false;
  bool done_ = false;
};

}  // namespace

struct HttpTarget::Impl {
  HttpUrl url;
  HttpEndpoint endpoint = HttpEndpoint::kChat;
  std::string api_key;
  Json fields;  // of every request
  std::unique_ptr<HttpClient> client;
};

HttpTarget::HttpTarget(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpTarget::~HttpTarget() = default;

absl::StatusOr<std::unique_ptr<HttpTarget>> HttpTarget::Create(const HttpUrl& url,
                                                               HttpEndpoint endpoint,
                                                               const GenerationSettings& settings) {
  auto impl = std::make_unique<Impl>();
  impl->url = url;
  impl->endpoint = endpoint;
  impl->api_key = settings.api_key;
  Json& fields = impl->fields;
  fields = {
      {"model", settings.model}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  if (settings.continuous_usage) fields["stream_options"]["continuous_usage_stats"] = true;
  if (settings.temperature.has_value()) fields["temperature"] = *settings.temperature;
  if (settings.sampling_seed.has_value()) fields["seed"] = *settings.sampling_seed;
  if (settings.ignore_eos) fields["ignore_eos"] = true;
  const Json extra = Json::parse(settings.extra_body, nullptr, /*allow_exceptions=*/false);
  if (!extra.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--extra-body must be a JSON object, not '", settings.extra_body, "'"));
  }
  fields.update(extra);
  auto client = HttpClient::Create(url, {});
  if (!client.ok()) return client.status();
  impl->client = *std::move(client);
  return std::unique_ptr<HttpTarget>(new HttpTarget(std::move(impl)));
}

std::string HttpTarget::Body(const LoadRequest& request) const {
  Json body = impl_->fields;
  if (!body.contains("max_completion_tokens")) body["max_tokens"] = request.max_tokens;
  if (impl_->endpoint == HttpEndpoint::kCompletions) {
    body["prompt"] = request.prompt;
  } else if (request.messages.empty()) {
    body["messages"] = {{{"role", "user"}, {"content", request.prompt}}};
  } else {
    Json& messages = body["messages"] = Json::array();
    for (const LoadMessage& message : request.messages) {
      messages.push_back({{"role", message.role}, {"content", message.content}});
    }
  }
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::function<void()> HttpTarget::Start(const LoadRequest& request, RequestRecord* record,
                                        std::function<void()> on_end) {
  const bool chat = impl_->endpoint == HttpEndpoint::kChat;
  HttpRequest http{impl_->url, chat ? "/v1/chat/completions" : "/v1/completions", Body(request),
                   impl_->api_key};
  auto reader = std::make_shared<AnswerReader>(record);
  record->sent = BenchClock::now();  // after the body is made: that is our work, not the server's
  return impl_->client->Send(
      std::move(http),
      [reader](int status, std::string_view piece) { reader->TakePiece(status, piece); },
      [reader, on_end = std::move(on_end)](const absl::StatusOr<HttpReply>& reply) {
        reader->TakeEnd(reply);
        on_end();
      });
}

void HttpTarget::Poll(BenchClock::time_point deadline) { impl_->client->RunOnce(deadline); }

}  // namespace sluice::gateway
