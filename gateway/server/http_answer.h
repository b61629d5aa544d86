// SPDX-License-Identifier: Apache-2.0
// The two ways of answering a session over HTTP: as server-sent events while it runs, or as one
// body at its end. Each is a RequestSink around an exchange; what the JSON looks like is the
// business of gateway/openai's writers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/openai/error.h"
#include "gateway/server/error_response.h"
#include "gateway/server/http_exchange.h"
#include "gateway/server/request_sink.h"

namespace sluice::gateway {

// One event with a JSON payload, which has no line breaks.
inline std::string ServerSentEvent(std::string_view payload) {
  std::string event = "data: ";
  event += payload;
  event += "\n\n";
  return event;
}

// The chat writer makes any number of payloads of a delta, the completion writer at most one.
inline std::string ServerSentEvents(const std::vector<std::string>& payloads) {
  std::string events;
  for (const std::string& payload : payloads) events += ServerSentEvent(payload);
  return events;
}
inline std::string ServerSentEvents(const std::optional<std::string>& payload) {
  return payload ? ServerSentEvent(*payload) : std::string();
}

// Writer: ChatStreamWriter or CompletionStreamWriter; MakeWriter gets the session's prompt tokens.
// The head goes out with the first delta, so that a request which fails before it gets a status of
// its own.
template <typename Writer, typename MakeWriter>
class EventStreamAnswer final : public RequestSink {
 public:
  EventStreamAnswer(std::shared_ptr<HttpExchange> exchange, std::unique_ptr<RequestTrace> trace,
                    MakeWriter make_writer)
      : RequestSink(std::move(trace)),
        exchange_(std::move(exchange)),
        make_writer_(std::move(make_writer)) {}

 protected:
  void Deliver(ChoiceDelta delta, const Session& session) override {
    Begin(session);
    exchange_->Write(ServerSentEvents(writer_->OnDelta(delta)));
  }

  void DeliverEnd(const absl::Status& status, const ResponseUsage& usage,
                  const Session& session) override {
    if (!status.ok() && !writer_) {
      exchange_->Respond(ErrorResponse(status));
    } else {
      Begin(session);
      if (status.ok()) {
        exchange_->Write(ServerSentEvents(writer_->OnEnd(usage)) + ServerSentEvent("[DONE]"));
      } else {
        // No [DONE] after an error: a client that looks for nothing else must not take the half for
        // the whole.
        exchange_->Write(ServerSentEvent(ErrorBody(status)));
      }
      exchange_->FinishStream();
    }
    exchange_.reset();
  }

 private:
  void Begin(const Session& session) {
    if (writer_) return;
    writer_ = make_writer_(session.prompt_tokens());
    HttpResponse head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers.emplace_back("Cache-Control", "no-cache");
    head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx would hold events back
    exchange_->StartStream(std::move(head));
  }

  std::shared_ptr<HttpExchange> exchange_;
  const MakeWriter make_writer_;
  std::unique_ptr<Writer> writer_;
};

// Aggregator: ChatAggregator or CompletionAggregator.
template <typename Aggregator>
class WholeAnswer final : public RequestSink {
 public:
  WholeAnswer(std::shared_ptr<HttpExchange> exchange, std::unique_ptr<RequestTrace> trace,
              Aggregator aggregator)
      : RequestSink(std::move(trace)),
        exchange_(std::move(exchange)),
        aggregator_(std::move(aggregator)) {}

 protected:
  void Deliver(ChoiceDelta delta, const Session&) override {
    aggregator_.OnDelta(std::move(delta));
  }

  void DeliverEnd(const absl::Status& status, const ResponseUsage& usage, const Session&) override {
    HttpResponse response;
    if (status.ok()) {
      response.body = aggregator_.Finish(usage);
    } else {
      response = ErrorResponse(status);
    }
    exchange_->Respond(std::move(response));
    exchange_.reset();
  }

 private:
  std::shared_ptr<HttpExchange> exchange_;
  Aggregator aggregator_;
};

}  // namespace sluice::gateway
