// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/http_client.h"

#include <unistd.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice::gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::string_view kScheme = "http://";

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  int value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  return value > 0 && value <= 65535;
}

// What one read may bring, and the most that one call of a reader gets.
constexpr size_t kReadBytes = 16 * 1024;

struct Connection {
  explicit Connection(asio::io_context& io) : stream(io) { buffer.reserve(kReadBytes); }

  // Closed rather than cancelled: an operation whose completion is already queued is past
  // cancelling, and the next one must fail too.
  void Interrupt() {
    interrupted = true;
    stream.close();
  }

  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  bool connected = false;
  bool interrupted = false;
};

// How a request ended.
struct Outcome {
  absl::Status status;
  HttpReply reply;
  bool heard = false;     // at least the head of an answer came
  bool reusable = false;  // the connection may carry another request
};

Outcome Failure(std::string_view what, const HttpUrl& url, error_code error) {
  const std::string message =
      absl::StrCat(std::string(what), " ", url.host, ":", url.port, ": ", error.message());
  Outcome outcome;
  outcome.status = error == beast::error::timeout ? absl::DeadlineExceededError(message)
                                                  : absl::UnavailableError(message);
  return outcome;
}

http::request<http::string_body> MakeMessage(const HttpRequest& request, bool keep_alive) {
  http::request<http::string_body> message;
  message.version(11);
  message.method(request.body.empty() ? http::verb::get : http::verb::post);
  message.target(request.url.path + request.target);
  message.set(http::field::host, request.url.host + ":" + request.url.port);
  message.keep_alive(keep_alive);
  message.set(http::field::user_agent, "sluice");
  if (!request.bearer_token.empty()) {
    message.set(http::field::authorization, "Bearer " + request.bearer_token);
  }
  if (!request.body.empty()) message.set(http::field::content_type, "application/json");
  message.body() = request.body;
  message.prepare_payload();
  return message;
}

void Expire(beast::tcp_stream& stream, std::chrono::milliseconds limit) {
  if (limit.count() > 0) {
    stream.expires_after(limit);
  } else {
    stream.expires_never();
  }
}

// Connects where that is still to do, sends the request and reads its answer. The references must
// outlive the coroutine.
asio::awaitable<Outcome> Talk(Connection& connection,
                              const asio::ip::tcp::resolver::results_type& endpoints,
                              const HttpRequest& request, const HttpLimits& limits, bool keep_alive,
                              const HttpBodyReader& on_body) {
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  beast::tcp_stream& stream = connection.stream;
  if (!connection.connected) {
    Expire(stream, limits.connect);
    co_await stream.async_connect(endpoints, token);
    if (error) co_return Failure("cannot connect to", request.url, error);
    connection.connected = true;
    error_code ignored;
    stream.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  }
  const auto message = MakeMessage(request, keep_alive);
  Expire(stream, limits.silence);
  co_await http::async_write(stream, message, token);
  if (error) co_return Failure("cannot send to", request.url, error);

  http::response_parser<http::buffer_body> parser;
  parser.body_limit(std::numeric_limits<uint64_t>::max());
  co_await http::async_read_header(stream, connection.buffer, parser, token);
  if (error) co_return Failure("no answer from", request.url, error);
  Outcome outcome;
  outcome.heard = true;
  outcome.reply.status = parser.get().result_int();
  outcome.reply.retry_after = std::string(parser.get()[http::field::retry_after]);
  // Parsed by hand: http::async_read_some gives one chunk's head or body at a time, and when eager
  // waits for the whole answer.
  parser.eager(true);
  std::array<char, kReadBytes> piece;
  while (!parser.is_done() && !connection.interrupted) {
    if (connection.buffer.size() > 0) {
      auto& body = parser.get().body();
      body.data = piece.data();
      body.size = piece.size();
      connection.buffer.consume(parser.put(connection.buffer.data(), error));
      const size_t got = piece.size() - body.size;
      if (got > 0) on_body(outcome.reply.status, {piece.data(), got});
      if (error == http::error::need_buffer || (!error && connection.buffer.size() > 0)) continue;
      if (error == http::error::need_more) error = {};
      if (error || parser.is_done()) break;
    }
    Expire(stream, limits.silence);
    const size_t read =
        co_await stream.async_read_some(connection.buffer.prepare(kReadBytes), token);
    connection.buffer.commit(read);
    if (error == asio::error::eof) {
      error = {};
      parser.put_eof(error);  // the proper end where no length was given
    }
    if (error) break;
  }
  if (error) {
    outcome.status = Failure("lost the connection to", request.url, error).status;
    co_return outcome;
  }
  outcome.reusable = parser.is_done() && parser.keep_alive();
  co_return outcome;
}

// One request on one io_context; lives for the length of Fetch.
class Exchange {
 public:
  Exchange(const HttpRequest& request, const HttpLimits& limits, const HttpBodyReader& on_body)
      : request_(request), limits_(limits), on_body_(on_body), connection_(io_) {}

  absl::StatusOr<int> Run() {
    asio::posix::stream_descriptor interrupt(io_);
    if (limits_.interrupt_fd >= 0) {
      interrupt.assign(dup(limits_.interrupt_fd));
      interrupt.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code error) {
        if (error) return;
        connection_.Interrupt();
        resolver_.cancel();
      });
    }
    asio::co_spawn(io_, ResolveAndTalk(),
                   [this, &interrupt](const std::exception_ptr& failure, Outcome outcome) {
                     outcome_ = std::move(outcome);
                     if (failure) outcome_.status = absl::InternalError("the HTTP client failed");
                     interrupt.close();
                   });
    io_.run();
    if (connection_.interrupted) return absl::CancelledError("interrupted");
    if (!outcome_.status.ok()) return outcome_.status;
    return outcome_.reply.status;
  }

 private:
  asio::awaitable<Outcome> ResolveAndTalk() {
    error_code error;
    const auto endpoints = co_await resolver_.async_resolve(
        request_.url.host, request_.url.port, asio::redirect_error(asio::use_awaitable, error));
    if (error || connection_.interrupted) co_return Failure("cannot resolve", request_.url, error);
    co_return co_await Talk(connection_, endpoints, request_, limits_, /*keep_alive=*/false,
                            on_body_);
  }

  const HttpRequest& request_;
  const HttpLimits& limits_;
  const HttpBodyReader& on_body_;
  asio::io_context io_;
  asio::ip::tcp::resolver resolver_{io_};
  Connection connection_;
  Outcome outcome_;
};

}  // namespace

struct HttpClient::Impl {
  // One request from Send to its end.
  struct Call {
    HttpRequest request;
    HttpBodyReader on_body;
    HttpEndReader on_end;
    std::unique_ptr<Connection> connection;
    bool cancelled = false;
  };

  // Handlers in one RunOnce: a server that answers at once must not keep the caller from his own
  // business.
  static constexpr int kMostHandlers = 256;

  explicit Impl(const HttpLimits& http_limits) : limits(http_limits) {}

  std::unique_ptr<Connection> TakeConnection() {
    if (idle.empty()) return std::make_unique<Connection>(io);
    std::unique_ptr<Connection> connection = std::move(idle.back());
    idle.pop_back();
    return connection;
  }

  asio::awaitable<void> Run(std::shared_ptr<Call> call) {
    Outcome outcome;
    bool again = !call->cancelled;
    while (again) {
      call->connection = TakeConnection();
      const bool kept = call->connection->connected;
      outcome = co_await Talk(*call->connection, endpoints, call->request, limits,
                              /*keep_alive=*/true, call->on_body);
      again = kept && !outcome.heard && absl::IsUnavailable(outcome.status) && !call->cancelled;
    }
    if (call->cancelled) {
      call->on_end(absl::CancelledError("cancelled"));
    } else if (!outcome.status.ok()) {
      call->on_end(outcome.status);
    } else {
      if (outcome.reusable) idle.push_back(std::move(call->connection));
      call->on_end(outcome.reply);
    }
  }

  const HttpLimits limits;
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::steady_timer timer{io};  // of RunOnce
  asio::ip::tcp::resolver::results_type endpoints;
  std::vector<std::unique_ptr<Connection>> idle;  // the last one used goes first
};

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(const HttpUrl& server,
                                                               const HttpLimits& limits) {
  auto impl = std::make_unique<Impl>(limits);
  error_code error;
  impl->endpoints = asio::ip::tcp::resolver(impl->io).resolve(server.host, server.port, error);
  if (error) return Failure("cannot resolve", server, error).status;
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

HttpCancel HttpClient::Send(HttpRequest request, HttpBodyReader on_body, HttpEndReader on_end) {
  auto call = std::make_shared<Impl::Call>();
  call->request = std::move(request);
  call->on_body = std::move(on_body);
  call->on_end = std::move(on_end);
  asio::co_spawn(impl_->io, impl_->Run(call), asio::detached);
  return [weak = std::weak_ptr<Impl::Call>(call)] {
    const auto running = weak.lock();
    if (running == nullptr) return;
    running->cancelled = true;
    if (running->connection != nullptr) running->connection->Interrupt();
  };
}

void HttpClient::RunOnce(std::chrono::steady_clock::time_point deadline) {
  // A timer of the system's is finer than the milliseconds that run_one_until waits in.
  if (deadline != impl_->timer.expiry()) {
    impl_->timer.expires_at(deadline);
    impl_->timer.async_wait([](error_code) {});
  }
  if (impl_->timer.expiry() > std::chrono::steady_clock::now()) impl_->io.run_one();
  for (int i = 1; i < Impl::kMostHandlers && impl_->io.poll_one() > 0; ++i) {
  }
}

absl::StatusOr<HttpUrl> ParseHttpUrl(std::string_view text) {
  const auto refuse = [text](std::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("the URL '", std::string(text), "' ", std::string(why)));
  };
  if (text.substr(0, 8) == "https://") {
    return refuse("uses https, which this client does not speak; give an http:// address");
  }
  if (text.substr(0, kScheme.size()) != kScheme) {
    return refuse("must start with http://, as in http://localhost:8000");
  }
  std::string_view rest = text.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  HttpUrl url;
  url.path = rest.substr(slash);
  while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();
  std::string_view authority = rest.substr(0, slash);
  std::string_view port = "80";
  if (!authority.empty() && authority[0] == '[') {
    const size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return refuse("has no closing bracket");
    url.host = authority.substr(1, bracket - 1);
    authority.remove_prefix(bracket + 1);
    if (!authority.empty()) port = authority.substr(1);
  } else {
    const size_t colon = authority.find(':');
    url.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  if (url.host.empty()) return refuse("names no host");
  if (!IsPort(port)) return refuse("has no port between 1 and 65535");
  url.port = port;
  return url;
}

absl::StatusOr<int> Fetch(const HttpRequest& request, const HttpLimits& limits,
                          const HttpBodyReader& on_body) {
  return Exchange(request, limits, on_body).Run();
}

}  // namespace sluice::gateway
