// SPDX-License-Identifier: Apache-2.0
// Any bytes sent to the HTTP server: it must answer with HTTP or close, and go on serving. The
// bytes go through a real connection, over one end of a socket pair, so that parser, limits,
// pipelining and framing all take part.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/server/http_server.h"

namespace {

using sluice::gateway::HttpExchange;
using sluice::gateway::HttpResponse;
using sluice::gateway::HttpServer;
using sluice::gateway::HttpServerOptions;
using sluice::gateway::Router;

std::unique_ptr<HttpServer> StartServer() {
  auto router = std::make_shared<Router>();
  const auto echo = [](const std::shared_ptr<HttpExchange>& exchange, const std::string& tail) {
    HttpResponse response;
    response.body = "=" + tail + exchange->request().query + exchange->request().body;
    response.headers.emplace_back("X-Request-Id",
                                  std::string(exchange->request().Header("x-request-id")));
    exchange->Respond(std::move(response));
  };
  const auto stream = [](const std::shared_ptr<HttpExchange>& exchange, const std::string&) {
    exchange->StartStream({});
    exchange->Write(exchange->request().body);
    exchange->FinishStream();
  };
  router->Add("POST", "/v1/chat/completions", echo);
  router->Add("GET", "/v1/models/*", echo);
  router->Add("POST", "/stream", stream);
  HttpServerOptions options;
  options.listen = "127.0.0.1";
  options.num_threads = 1;
  options.max_header_bytes = 2048;
  options.max_body_bytes = 4096;
  auto server = HttpServer::Start(options, router);
  if (!server.ok()) std::abort();
  return std::move(server).value();
}

void Check(bool holds, const char* what, std::string_view answer) {
  if (holds) return;
  std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(answer.size()), answer.data());
  std::abort();
}

// Whole answers one after the other; only the last may be cut, since the client has stopped
// sending.
void CheckAnswers(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t head_end = bytes.find("\r\n\r\n");
    if (head_end == std::string_view::npos) return;
    const std::string_view head = bytes.substr(0, head_end + 2);
    Check(head.size() > 12 && head.substr(0, 9) == "HTTP/1.1 " && std::isdigit(head[9]),
          "an answer is not HTTP", bytes);
    bytes.remove_prefix(head_end + 4);
    if (head.substr(9, 3) == "100" || head.substr(9, 3) == "204") continue;
    const size_t length = head.find("\r\nContent-Length: ");
    if (length == std::string_view::npos) return;  // chunks, or until close
    const size_t n = std::strtoul(head.data() + length + 18, nullptr, 10);
    if (n > bytes.size()) return;  // cut, or the last of it answers a HEAD
    // Our bodies begin otherwise: what begins so after a head is the next answer, and this one was
    // to a HEAD.
    const bool head_answer = bytes.substr(0, 9) == "HTTP/1.1 ";
    if (!head_answer) bytes.remove_prefix(n);
  }
}

std::string Exchange(HttpServer& server, std::string_view input) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  server.AdoptForTest(ends[1]);
  std::string answer;
  char buffer[16384];
  bool sending = true;
  for (;;) {
    if (sending && input.empty()) {
      shutdown(ends[0], SHUT_WR);
      sending = false;
    }
    pollfd poll_fd{ends[0], static_cast<short>(POLLIN | (sending ? POLLOUT : 0)), 0};
    Check(poll(&poll_fd, 1, 30'000) > 0, "the server neither answered nor closed", answer);
    if (poll_fd.revents & POLLIN) {
      const ssize_t n = recv(ends[0], buffer, sizeof(buffer), MSG_DONTWAIT);
      if (n <= 0) break;
      answer.append(buffer, static_cast<size_t>(n));
    } else if (poll_fd.revents & POLLOUT) {
      const ssize_t n = send(ends[0], input.data(), input.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0) {
        sending = false;  // the server has closed; read what it said
      } else {
        input.remove_prefix(static_cast<size_t>(n));
      }
    } else {
      break;
    }
  }
  close(ends[0]);
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static HttpServer* const server =
      StartServer().release();  // its threads run until the process ends
  CheckAnswers(Exchange(*server, std::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
