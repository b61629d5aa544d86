// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/http_server.h"

#include <sys/socket.h>

#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gateway/server/http_connection.h"

namespace sluice::gateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

struct HttpServer::Impl {
  explicit Impl(HttpServerOptions options, std::shared_ptr<const Router> router)
      : io(options.num_threads), acceptor(asio::make_strand(io)), work(io.get_executor()) {
    context.options = std::move(options);
    context.router = std::move(router);
  }

  absl::Status Bind() {
    const HttpServerOptions& options = context.options;
    error_code error;
    const asio::ip::address address = asio::ip::make_address(options.listen, error);
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat("--listen ", options.listen, " is not an IP address"));
    }
    const tcp::endpoint endpoint(address, static_cast<unsigned short>(options.port));
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot listen for HTTP on ", options.listen, ":",
                                                 options.port, ": ", error.message()));
    }
    bound_port = acceptor.local_endpoint().port();
    return absl::OkStatus();
  }

  void Run() {
    asio::co_spawn(acceptor.get_executor(), Accept(), asio::detached);
    for (int i = 0; i < context.options.num_threads; ++i) {
      threads.emplace_back([this] { io.run(); });
    }
  }

  asio::awaitable<void> Accept() {
    constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(asio::make_strand(io), kTuple);
      if (!acceptor.is_open()) co_return;
      if (error) {
        // Out of file descriptors, mostly: wait for some to come back instead of spinning.
        asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(50));
        co_await pause.async_wait(kTuple);
        continue;
      }
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);  // tokens are small and urgent
      socket.set_option(asio::socket_base::keep_alive(true), ignored);
      if (context.options.send_buffer_bytes > 0) {
        socket.set_option(asio::socket_base::send_buffer_size(context.options.send_buffer_bytes),
                          ignored);
      }
      Add(HttpSocket(std::move(socket)));
    }
  }

  void Add(HttpSocket socket) {
    // Started under the lock: on_end must find the entry.
    std::lock_guard<std::mutex> lock(mu);
    if (stopping || connections.size() >= static_cast<size_t>(context.options.max_connections)) {
      return;
    }
    auto connection =
        StartHttpConnection(std::move(socket), context, [this](HttpConnection* ended) {
          std::lock_guard<std::mutex> end_lock(mu);
          connections.erase(ended);
        });
    HttpConnection* key = connection.get();
    connections.emplace(key, std::move(connection));
  }

  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mu);
      if (stopping) return;
      stopping = true;
      for (auto& [key, connection] : connections) connection->Close();
    }
    asio::post(acceptor.get_executor(), [this] {
      error_code ignored;
      acceptor.close(ignored);
    });
    work.reset();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  HttpConnectionContext context;
  asio::io_context io;
  tcp::acceptor acceptor;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::vector<std::thread> threads;
  int bound_port = 0;

  std::mutex mu;
  // Guarded by mu.
  bool stopping = false;
  std::unordered_map<HttpConnection*, std::shared_ptr<HttpConnection>> connections;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    HttpServerOptions options, std::shared_ptr<const Router> router) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(router));
  absl::Status bound = impl->Bind();
  if (!bound.ok()) return bound;
  impl->Run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { Stop(); }

int HttpServer::port() const { return impl_->bound_port; }

HttpServerStats HttpServer::stats() const {
  HttpServerStats stats;
  {
    std::lock_guard<std::mutex> lock(impl_->mu);
    stats.connections = static_cast<int64_t>(impl_->connections.size());
  }
  stats.answering = impl_->context.answering;
  stats.received_bytes = impl_->context.received_bytes;
  stats.sent_bytes = impl_->context.sent_bytes;
  return stats;
}

void HttpServer::Stop() { impl_->Stop(); }

void HttpServer::AdoptForTest(int fd) {
  const asio::generic::stream_protocol unix_stream(AF_UNIX, 0);
  impl_->Add(HttpSocket(asio::make_strand(impl_->io), unix_stream, fd));
}

}  // namespace sluice::gateway
