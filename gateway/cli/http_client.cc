// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/http_client.h"

#include <unistd.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <limits>

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

// One request on one io_context; lives for the length of Fetch.
class Exchange {
 public:
  Exchange(const HttpRequest& request, const HttpLimits& limits, const HttpBodyReader& on_body)
      : request_(request), limits_(limits), on_body_(on_body), stream_(io_) {}

  absl::StatusOr<int> Run() {
    asio::posix::stream_descriptor interrupt(io_);
    if (limits_.interrupt_fd >= 0) {
      interrupt.assign(dup(limits_.interrupt_fd));
      interrupt.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code error) {
        if (error) return;
        // Closed rather than cancelled: an operation whose completion is already queued is past
        // cancelling, and the next one must fail too.
        interrupted_ = true;
        stream_.close();
        resolver_.cancel();
      });
    }
    asio::co_spawn(
        io_, Talk(), [this, &interrupt](const std::exception_ptr& failure, absl::Status status) {
          result_ = failure ? absl::InternalError("the HTTP client failed") : std::move(status);
          interrupt.close();
        });
    io_.run();
    if (interrupted_) return absl::CancelledError("interrupted");
    if (!result_.ok()) return result_;
    return status_code_;
  }

 private:
  asio::awaitable<absl::Status> Talk() {
    error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    const auto endpoints =
        co_await resolver_.async_resolve(request_.url.host, request_.url.port, token);
    if (error || interrupted_) co_return Failure("cannot resolve", error);
    stream_.expires_after(limits_.connect);
    co_await stream_.async_connect(endpoints, token);
    if (error) co_return Failure("cannot connect to", error);

    const auto message = Message();
    Expire();
    co_await http::async_write(stream_, message, token);
    if (error) co_return Failure("cannot send to", error);

    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(std::numeric_limits<uint64_t>::max());
    co_await http::async_read_header(stream_, buffer, parser, token);
    if (error) co_return Failure("no answer from", error);
    status_code_ = parser.get().result_int();
    std::array<char, 8192> piece;
    while (!parser.is_done() && !interrupted_) {
      auto& body = parser.get().body();
      body.data = piece.data();
      body.size = piece.size();
      Expire();
      co_await http::async_read_some(stream_, buffer, parser, token);
      if (error == http::error::need_buffer) error = {};
      if (error) co_return Failure("lost the connection to", error);
      on_body_(status_code_, {piece.data(), piece.size() - body.size});
    }
    co_return absl::OkStatus();
  }

  http::request<http::string_body> Message() const {
    http::request<http::string_body> message;
    message.version(11);
    message.method(request_.body.empty() ? http::verb::get : http::verb::post);
    message.target(request_.url.path + request_.target);
    message.set(http::field::host, request_.url.host + ":" + request_.url.port);
    message.set(http::field::connection, "close");
    message.set(http::field::user_agent, "sluice");
    if (!request_.bearer_token.empty()) {
      message.set(http::field::authorization, "Bearer " + request_.bearer_token);
    }
    if (!request_.body.empty()) message.set(http::field::content_type, "application/json");
    message.body() = request_.body;
    message.prepare_payload();
    return message;
  }

  void Expire() {
    if (limits_.silence.count() > 0) {
      stream_.expires_after(limits_.silence);
    } else {
      stream_.expires_never();
    }
  }

  absl::Status Failure(std::string_view what, error_code error) const {
    const std::string message = absl::StrCat(std::string(what), " ", request_.url.host, ":",
                                             request_.url.port, ": ", error.message());
    if (error == beast::error::timeout) return absl::DeadlineExceededError(message);
    return absl::UnavailableError(message);
  }

  const HttpRequest& request_;
  const HttpLimits& limits_;
  const HttpBodyReader& on_body_;
  asio::io_context io_;
  asio::ip::tcp::resolver resolver_{io_};
  beast::tcp_stream stream_;
  bool interrupted_ = false;
  int status_code_ = 0;
  absl::Status result_;
};

}  // namespace

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
