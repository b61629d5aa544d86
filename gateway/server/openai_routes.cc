// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/openai_routes.h"

#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/openai/chat_response.h"
#include "gateway/openai/completion_response.h"
#include "gateway/openai/model_list.h"
#include "gateway/server/http_answer.h"
#include "gateway/server/log.h"
#include "proto/wire/retry_after.h"

namespace sluice::gateway {
namespace {

using SharedExchange = std::shared_ptr<HttpExchange>;

std::unique_ptr<RequestTrace> MakeTrace(const ApiContext& context, std::string_view route,
                                        const HttpRequest& request) {
  return std::make_unique<RequestTrace>(route, request.identity, context.metrics, context.running);
}

// Ends a request that never became a session.
void Refuse(HttpExchange& exchange, RequestTrace& trace, const absl::Status& status) {
  trace.End(status);
  exchange.Respond(ErrorResponse(status));
}

// Runs `work` on the pool, or refuses the request when too much waits there.
void OnWorkPool(const ApiContext& context, std::string_view route, SharedExchange exchange,
                std::function<void(const SharedExchange&, std::unique_ptr<RequestTrace>)> work) {
  std::shared_ptr<std::unique_ptr<RequestTrace>> trace =
      std::make_shared<std::unique_ptr<RequestTrace>>(
          MakeTrace(context, route, exchange->request()));
  const bool taken = context.work->Post(
      [exchange, trace, work = std::move(work)] { work(exchange, std::move(*trace)); });
  if (taken) return;
  Refuse(*exchange, **trace,
         wire::WithRetryAfter(
             absl::ResourceExhaustedError("too many requests wait for the gateway to read them"),
             std::chrono::seconds(1)));
}

ResponseHeader MakeHeader(const ApiContext& context, const char* prefix,
                          const RequestIdentity& identity) {
  ResponseHeader header;
  header.id = prefix + identity.unique_id;
  header.model = context.engine->options().served_model_names.front();
  header.created_unix_seconds = std::time(nullptr);
  return header;
}

void LogUnknownFields(const std::vector<std::string>& fields, const RequestIdentity& identity) {
  if (fields.empty()) return;
  LogEvent(LogLevel::kDebug, "unknown fields were ignored",
           {{"request_id", std::string_view(identity.unique_id)},
            {"fields", std::string_view(absl::StrJoin(fields, ","))}});
}

// From a checked request to a running session, for chat and completions alike.
template <typename Start>
void Run(const SharedExchange& exchange, const std::shared_ptr<RequestSink>& sink, Start start) {
  exchange->OnGone([weak = std::weak_ptr<RequestSink>(sink)] {
    if (const auto held = weak.lock()) held->ClientGone();
  });
  if (sink->client_gone()) {
    sink->trace().End(absl::CancelledError("the client left before its request was read"));
    return;
  }
  RequestContext context;
  context.request_id = sink->trace().identity().unique_id;
  context.traceparent = sink->trace().identity().traceparent;
  absl::StatusOr<std::shared_ptr<Session>> session = start(context, sink);
  if (!session.ok()) {
    Refuse(*exchange, sink->trace(), session.status());
    return;
  }
  sink->Attach(*std::move(session));
}

template <typename Writer, typename Aggregator, typename Request>
std::shared_ptr<RequestSink> MakeSink(const SharedExchange& exchange, const Request& request,
                                      ResponseHeader header, std::unique_ptr<RequestTrace> trace) {
  const bool logprobs = request.generation.logprobs.has_value();
  if (!request.stream.stream) {
    return std::make_shared<WholeAnswer<Aggregator>>(exchange, std::move(trace),
                                                     Aggregator(std::move(header), logprobs));
  }
  auto make_writer = [header = std::move(header), options = request.stream,
                      logprobs](int prompt_tokens) {
    return std::make_unique<Writer>(header, options, logprobs, prompt_tokens);
  };
  return std::make_shared<EventStreamAnswer<Writer, decltype(make_writer)>>(
      exchange, std::move(trace), std::move(make_writer));
}

void ServeChat(const ApiContext& context, const SharedExchange& exchange,
               std::unique_ptr<RequestTrace> trace) {
  const absl::StatusOr<ChatRequest> request = ParseChatRequest(exchange->request().body);
  if (!request.ok()) return Refuse(*exchange, *trace, request.status());
  LogUnknownFields(request->unknown_fields, trace->identity());
  ResponseHeader header = MakeHeader(context, "chatcmpl-", trace->identity());
  const std::shared_ptr<RequestSink> sink = MakeSink<ChatStreamWriter, ChatAggregator>(
      exchange, *request, std::move(header), std::move(trace));
  Run(exchange, sink,
      [&](const RequestContext& request_context, const std::shared_ptr<RequestSink>& to) {
        return context.engine->StartChat(*request, request_context, to);
      });
}

void ServeCompletion(const ApiContext& context, const SharedExchange& exchange,
                     std::unique_ptr<RequestTrace> trace) {
  const absl::StatusOr<CompletionRequest> request =
      ParseCompletionRequest(exchange->request().body);
  if (!request.ok()) return Refuse(*exchange, *trace, request.status());
  LogUnknownFields(request->unknown_fields, trace->identity());
  ResponseHeader header = MakeHeader(context, "cmpl-", trace->identity());
  const std::shared_ptr<RequestSink> sink = MakeSink<CompletionStreamWriter, CompletionAggregator>(
      exchange, *request, std::move(header), std::move(trace));
  Run(exchange, sink,
      [&](const RequestContext& request_context, const std::shared_ptr<RequestSink>& to) {
        return context.engine->StartCompletion(*request, request_context, to);
      });
}

// Ends a request that is answered on the spot.
void Finish(HttpExchange& exchange, RequestTrace& trace, absl::StatusOr<std::string> body) {
  if (!body.ok()) return Refuse(exchange, trace, body.status());
  trace.End(absl::OkStatus());
  HttpResponse response;
  response.body = *std::move(body);
  exchange.Respond(std::move(response));
}

absl::StatusOr<std::string> Tokenize(const TextEngine& engine, std::string_view body) {
  const absl::StatusOr<TokenizeRequest> request = ParseTokenizeRequest(body);
  if (!request.ok()) return request.status();
  const absl::StatusOr<TokenizeResult> result = engine.Tokenize(*request);
  if (!result.ok()) return result.status();
  return TokenizeResponseBody(*result);
}

absl::StatusOr<std::string> Detokenize(const TextEngine& engine, std::string_view body) {
  const absl::StatusOr<DetokenizeRequest> request = ParseDetokenizeRequest(body);
  if (!request.ok()) return request.status();
  const absl::StatusOr<std::string> text = engine.Detokenize(*request);
  if (!text.ok()) return text.status();
  return DetokenizeResponseBody(*text);
}

absl::StatusOr<ModelCard> MakeModelCard(const ApiContext& context, const std::string& name) {
  const absl::StatusOr<ModelInfo> info = context.engine->options().worker->GetModelInfo();
  if (!info.ok()) return info.status();
  ModelCard card;
  card.id = name;
  card.root = context.model_root;
  card.created_unix_seconds = context.created_unix_seconds;
  card.max_model_len = info->max_model_len;
  card.rope_scaling_json = info->rope_scaling;
  return card;
}

absl::StatusOr<std::string> ListModels(const ApiContext& context) {
  std::vector<ModelCard> cards;
  for (const std::string& name : context.engine->options().served_model_names) {
    absl::StatusOr<ModelCard> card = MakeModelCard(context, name);
    if (!card.ok()) return card.status();
    cards.push_back(*std::move(card));
  }
  return ModelListBody(cards);
}

absl::StatusOr<std::string> ShowModel(const ApiContext& context, const std::string& name) {
  absl::Status known = context.engine->CheckModel(name);
  if (!known.ok()) return known;
  const absl::StatusOr<ModelCard> card = MakeModelCard(context, name);
  if (!card.ok()) return card.status();
  return ModelBody(*card);
}

}  // namespace

void AddOpenAiRoutes(const ApiContext& context, Router& router) {
  router.SetGate([admit = context.admit](const HttpRequest& head) -> std::optional<HttpResponse> {
    const bool ours =
        head.path.starts_with("/v1/") || head.path == "/tokenize" || head.path == "/detokenize";
    if (!ours) return std::nullopt;
    const absl::Status admitted = admit(head.Header("authorization"));
    if (admitted.ok()) return std::nullopt;
    HttpResponse response = ErrorResponse(admitted);
    if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  });
  router.Add("POST", "/v1/chat/completions", [context](SharedExchange exchange, std::string) {
    OnWorkPool(context, "chat_completions", std::move(exchange),
               [context](const SharedExchange& to, std::unique_ptr<RequestTrace> trace) {
                 ServeChat(context, to, std::move(trace));
               });
  });
  router.Add("POST", "/v1/completions", [context](SharedExchange exchange, std::string) {
    OnWorkPool(context, "completions", std::move(exchange),
               [context](const SharedExchange& to, std::unique_ptr<RequestTrace> trace) {
                 ServeCompletion(context, to, std::move(trace));
               });
  });
  router.Add("POST", "/tokenize", [context](SharedExchange exchange, std::string) {
    OnWorkPool(context, "tokenize", std::move(exchange),
               [context](const SharedExchange& to, std::unique_ptr<RequestTrace> trace) {
                 Finish(*to, *trace, Tokenize(*context.engine, to->request().body));
               });
  });
  router.Add("POST", "/detokenize", [context](SharedExchange exchange, std::string) {
    OnWorkPool(context, "detokenize", std::move(exchange),
               [context](const SharedExchange& to, std::unique_ptr<RequestTrace> trace) {
                 Finish(*to, *trace, Detokenize(*context.engine, to->request().body));
               });
  });
  router.Add("GET", "/v1/models", [context](const SharedExchange& exchange, const std::string&) {
    const auto trace = MakeTrace(context, "models", exchange->request());
    Finish(*exchange, *trace, ListModels(context));
  });
  router.Add("GET", "/v1/models/*",
             [context](const SharedExchange& exchange, const std::string& name) {
               const auto trace = MakeTrace(context, "models", exchange->request());
               Finish(*exchange, *trace, ShowModel(context, name));
             });
}

}  // namespace sluice::gateway
