// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/http_connection.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/server/error_response.h"
#include "gateway/server/response_queue.h"

namespace sluice::gateway {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using RequestParser = http::request_parser<http::string_body>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 4096;
constexpr size_t kWriteBytes = 64 * 1024;
// Pipelined requests kept while an answer is being written. Beyond it the client's going away shows
// only when writing fails.
constexpr size_t kMaxPipelinedBytes = 64 * 1024;
// How long, and how much of, a refused request is read and thrown away, so that the refusal is not
// lost to a reset. An upload may bring as much again as a request may have; whoever sends more is
// cut off.
constexpr std::chrono::seconds kLingerTime{10};
constexpr size_t kLingerBytes = 256 * 1024;

bool IsHttpError(const error_code& error) {
  return error.category() == http::make_error_code(http::error::bad_method).category();
}

HttpRequest ToRequest(const http::request<http::string_body>& message) {
  HttpRequest request;
  const auto method = message.method_string();
  request.method.assign(method.data(), method.size());
  std::string_view target(message.target().data(), message.target().size());
  const size_t question = target.find('?');
  request.path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  for (const auto& field : message) {
    request.headers.emplace_back(absl::AsciiStrToLower(absl::string_view(
                                     field.name_string().data(), field.name_string().size())),
                                 std::string(field.value().data(), field.value().size()));
  }
  request.identity = IdentifyRequest(request.Header("x-request-id"), request.Header("traceparent"));
  return request;
}

class Connection final : public HttpConnection, public std::enable_shared_from_this<Connection> {
 public:
  Connection(HttpSocket socket, HttpConnectionContext& context)
      : context_(context),
        socket_(std::move(socket)),
        wake_(socket_.get_executor()),
        deadline_(socket_.get_executor()),
        buffer_(context.options.max_header_bytes + kMaxPipelinedBytes) {}

  void Start(std::function<void(HttpConnection*)> on_end) {
    asio::co_spawn(socket_.get_executor(), Run(),
                   [self = shared_from_this(), on_end = std::move(on_end)](std::exception_ptr) {
                     self->Shut();
                     on_end(self.get());
                   });
  }

  void Close() override {
    asio::post(socket_.get_executor(), [self = shared_from_this()] { self->Shut(); });
  }

 private:
  enum class Next { kAnotherRequest, kClose };

  asio::awaitable<void> Run() {
    // GCC 12 miscompiles, or crashes on, co_await within conditions and with temporaries as
    // arguments: both stay out of this file.
    Next next = Next::kAnotherRequest;
    while (!shut_ && next == Next::kAnotherRequest) next = co_await ServeOne();
  }

  asio::awaitable<Next> ServeOne() {
    if (buffer_.size() == 0) {
      Arm(context_.options.idle_timeout);
      auto [error, n] = co_await socket_.async_read_some(buffer_.prepare(kReadBytes), kTuple);
      if (error) co_return Next::kClose;
      buffer_.commit(n);
      context_.received_bytes += static_cast<int64_t>(n);
    }
    RequestParser parser;
    parser.header_limit(static_cast<uint32_t>(context_.options.max_header_bytes));
    parser.body_limit(context_.options.max_body_bytes);
    Arm(context_.options.header_timeout);
    auto [head_error, head_bytes] =
        co_await http::async_read_header(socket_, buffer_, parser, kTuple);
    context_.received_bytes += static_cast<int64_t>(head_bytes);
    if (head_error) {
      co_await RefuseUnread(head_error, parser);
      co_return Next::kClose;
    }

    HttpRequest request = ToRequest(parser.get());
    const bool head_only = request.method == "HEAD";
    bool keep_alive = parser.get().keep_alive();
    if (std::optional<HttpResponse> answer = context_.router->Answer(request)) {
      const bool unread_body = !parser.is_done();
      keep_alive = keep_alive && !unread_body;
      const std::string bytes =
          SerializeResponse(*answer, request.identity.shown_id, head_only, keep_alive);
      const bool sent = co_await Send(bytes);
      if (sent && unread_body) co_await Linger(context_.options.max_body_bytes);
      const bool go_on = sent && keep_alive;
      co_return go_on ? Next::kAnotherRequest : Next::kClose;
    }
    if (!parser.is_done()) {
      const bool read = co_await ReadBody(parser, request);
      if (!read) co_return Next::kClose;
    }
    Disarm();
    request.body = std::move(parser.get().body());

    ResponseFraming framing;
    framing.http_1_0 = parser.get().version() < 11;
    framing.head_only = head_only;
    framing.keep_alive = keep_alive;
    framing.max_unsent_bytes = context_.options.max_unsent_bytes;
    const Next next = co_await Answer(std::move(request), framing);
    co_return next;
  }

  // The body of an accepted request. False: the request was refused or the client is gone.
  asio::awaitable<bool> ReadBody(RequestParser& parser, const HttpRequest& head) {
    if (absl::EqualsIgnoreCase(std::string(head.Header("expect")), "100-continue")) {
      const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      const bool sent = co_await Send(go_on);
      if (!sent) co_return false;
    }
    Arm(context_.options.body_timeout);
    auto [error, n] = co_await http::async_read(socket_, buffer_, parser, kTuple);
    context_.received_bytes += static_cast<int64_t>(n);
    if (error) co_await RefuseUnread(error, parser);
    co_return !error;
  }

  // Answers a request that could not be read, where there is somebody to answer.
  asio::awaitable<void> RefuseUnread(error_code error, RequestParser& parser) {
    HttpResponse response;
    if (timed_out_) {
      response = ErrorResponse(408, "the request did not arrive in time");
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      response = ErrorResponse(431, absl::StrCat("the request's head is larger than ",
                                                 context_.options.max_header_bytes, " bytes"));
    } else if (error == http::error::body_limit) {
      const auto length = parser.get()[http::field::content_length];
      response = ErrorResponse(
          413, absl::StrCat("the request body",
                            length.empty() ? std::string()
                                           : absl::StrCat(" of ", std::string(length), " bytes"),
                            " is larger than the ", context_.options.max_body_bytes,
                            " bytes that --max-body-bytes allows"));
    } else if (IsHttpError(error) && error != http::error::end_of_stream &&
               error != http::error::partial_message) {
      response = ErrorResponse(400, "malformed HTTP request: " + error.message());
    } else {
      co_return;
    }
    const auto client_id = parser.get()["x-request-id"];  // when it came before the end
    const RequestIdentity identity =
        IdentifyRequest(std::string_view(client_id.data(), client_id.size()), "");
    const std::string bytes = SerializeResponse(response, identity.shown_id, false, false);
    const bool sent = co_await Send(bytes);
    const bool upload = response.status == 413;
    if (sent) co_await Linger(upload ? context_.options.max_body_bytes : kLingerBytes);
  }

  asio::awaitable<Next> Answer(HttpRequest request, ResponseFraming framing) {
    using namespace asio::experimental::awaitable_operators;  // NOLINT: the documented way to get
                                                              // ||
    auto queue =
        std::make_shared<ResponseQueue>(std::move(request), framing, [self = shared_from_this()] {
          asio::post(self->socket_.get_executor(), [self] { self->wake_.cancel(); });
        });
    // The route's handle: its last copy going away without an answer must not leave the client
    // waiting.
    std::shared_ptr<HttpExchange> handle(queue.get(), [queue](HttpExchange*) { queue->Abandon(); });
    ++context_.answering;
    context_.router->Serve(std::move(handle));
    sent_whole_ = false;
    co_await (SendAnswer(queue) || WatchForEnd());
    queue->Detach();
    --context_.answering;
    Disarm();
    const bool go_on = sent_whole_ && !ended_ && queue->keep_alive();
    co_return go_on ? Next::kAnotherRequest : Next::kClose;
  }

  asio::awaitable<void> SendAnswer(std::shared_ptr<ResponseQueue> queue) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    while (cancellation.cancelled() == asio::cancellation_type::none) {
      ResponseQueue::Batch batch = queue->Take(kWriteBytes);
      if (batch.gone) co_return;
      if (!batch.bytes.empty()) {
        const bool sent = co_await Send(batch.bytes);
        if (!sent) co_return;
      }
      if (batch.complete) {
        sent_whole_ = true;
        co_return;
      }
      if (batch.bytes.empty()) {
        // No await lies between Take and this wait, so a wake posted after Take finds it waiting.
        wake_.expires_at(asio::steady_timer::time_point::max());
        co_await wake_.async_wait(kTuple);
      }
    }
  }

  // Returns when the client closes or resets the connection; keeps what it pipelines. A client that
  // shuts down its sending side counts as gone, as it does for most servers: nothing tells it from
  // one that died.
  asio::awaitable<void> WatchForEnd() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    while (cancellation.cancelled() == asio::cancellation_type::none) {
      if (buffer_.size() + kReadBytes > kMaxPipelinedBytes) {
        asio::steady_timer forever(socket_.get_executor(), asio::steady_timer::time_point::max());
        co_await forever.async_wait(kTuple);
        co_return;
      }
      auto [error, n] = co_await socket_.async_read_some(buffer_.prepare(kReadBytes), kTuple);
      buffer_.commit(n);
      context_.received_bytes += static_cast<int64_t>(n);
      if (error) {
        // Not for a cancelled read. Asio reports an end once: reading again would wait for ever.
        ended_ = error != asio::error::operation_aborted;
        co_return;
      }
    }
  }

  asio::awaitable<bool> Send(const std::string& bytes) {
    Arm(context_.options.write_timeout);
    auto [error, n] = co_await asio::async_write(socket_, asio::buffer(bytes), kTuple);
    Disarm();
    context_.sent_bytes += static_cast<int64_t>(n);
    co_return !error;
  }

  // Closing with unread bytes resets the connection and can destroy the answer on its way to the
  // client.
  asio::awaitable<void> Linger(size_t max_bytes) {
    error_code ignored;
    socket_.shutdown(HttpSocket::shutdown_send, ignored);
    Arm(kLingerTime);
    std::string discarded(kWriteBytes, '\0');
    for (size_t total = 0; total < max_bytes;) {
      auto [error, n] = co_await socket_.async_read_some(asio::buffer(discarded), kTuple);
      context_.received_bytes += static_cast<int64_t>(n);
      total += n;
      if (error || timed_out_) co_return;
    }
  }

  // One deadline at a time. It cancels the socket's pending operations and says so in timed_out_.
  void Arm(std::chrono::milliseconds timeout) {
    timed_out_ = false;
    const int64_t armed = ++armed_;
    deadline_.expires_after(timeout);
    deadline_.async_wait([self = shared_from_this(), armed](error_code error) {
      // A wait that had expired before it was replaced still arrives here: only the latest one
      // counts.
      if (error || armed != self->armed_) return;
      self->timed_out_ = true;
      error_code ignored;
      self->socket_.cancel(ignored);
    });
  }
  void Disarm() {
    ++armed_;
    deadline_.cancel();
  }

  void Shut() {
    shut_ = true;
    Disarm();
    wake_.cancel();
    error_code ignored;
    socket_.shutdown(HttpSocket::shutdown_both, ignored);
    socket_.close(ignored);
  }

  HttpConnectionContext& context_;
  // Used on the strand only.
  HttpSocket socket_;
  asio::steady_timer wake_;
  asio::steady_timer deadline_;
  boost::beast::flat_buffer buffer_;
  int64_t armed_ = 0;
  bool timed_out_ = false;
  bool sent_whole_ = false;
  bool ended_ = false;  // the client has closed its side
  bool shut_ = false;
};

}  // namespace

std::shared_ptr<HttpConnection> StartHttpConnection(HttpSocket socket,
                                                    HttpConnectionContext& context,
                                                    std::function<void(HttpConnection*)> on_end) {
  auto connection = std::make_shared<Connection>(std::move(socket), context);
  connection->Start(std::move(on_end));
  return connection;
}

}  // namespace sluice::gateway
