// SPDX-License-Identifier: Apache-2.0
// The HTTP transport over real sockets: framing, limits, timeouts, and what it does with clients
// that leave, stall or send nonsense. No route here knows of chat.
#include "gateway/server/http_server.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "tests/support/http_client.h"

namespace sluice::gateway {
namespace {

using sluice::testing::HttpClient;
using sluice::testing::HttpGet;
using sluice::testing::HttpPost;
using sluice::testing::HttpReply;

// Set once by a server thread, awaited by the test.
class Event {
 public:
  void Set() {
    std::lock_guard<std::mutex> lock(mu_);
    set_ = true;
    changed_.notify_all();
  }
  bool Wait() {
    std::unique_lock<std::mutex> lock(mu_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [this] { return set_; });
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool set_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    router_->Add("POST", "/echo", [](std::shared_ptr<HttpExchange> exchange, const std::string&) {
      HttpResponse response;
      response.content_type = "text/plain";
      response.body = exchange->request().body;
      response.headers.emplace_back("X-Echo",
                                    std::string(exchange->request().Header("x-request-id")));
      exchange->Respond(std::move(response));
    });
    router_->Add("GET", "/things/*", [](std::shared_ptr<HttpExchange> exchange, std::string tail) {
      HttpResponse response;
      response.body = std::move(tail);
      exchange->Respond(std::move(response));
    });
    router_->Add("GET", "/drop", [](const std::shared_ptr<HttpExchange>&, const std::string&) {});
    router_->Add("GET", "/drop-midway",
                 [](const std::shared_ptr<HttpExchange>& exchange, const std::string&) {
                   exchange->StartStream({});
                   exchange->Write("half");
                 });
    // Keeps the exchange for the test to answer.
    router_->Add("GET", "/hold",
                 [this](std::shared_ptr<HttpExchange> exchange, const std::string&) {
                   exchange->OnGone([this] { gone_.Set(); });
                   held_ = std::move(exchange);
                   holding_.Set();
                 });
  }
  ~HttpServerTest() override {
    if (server_) server_->Stop();
  }

  int Start() {
    options_.listen = "127.0.0.1";
    auto server = HttpServer::Start(options_, router_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
    return server_->port();
  }

  HttpServerOptions options_;
  std::shared_ptr<Router> router_ = std::make_shared<Router>();
  std::unique_ptr<HttpServer> server_;
  Event holding_;
  Event gone_;
  std::shared_ptr<HttpExchange> held_;
};

TEST_F(HttpServerTest, AnswersSeveralRequestsOnOneConnection) {
  HttpClient client(Start());
  for (const std::string body : {"one", "", "three"}) {
    ASSERT_TRUE(client.Post("/echo", body));
    const auto reply = client.Read();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->body, body);
    EXPECT_EQ(reply->headers.at("connection"), "keep-alive");
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  HttpClient client(Start());
  std::string bytes;
  for (int i = 0; i < 50; ++i) {
    bytes += "GET /things/" + std::to_string(i) + " HTTP/1.1\r\nHost: t\r\n\r\n";
  }
  ASSERT_TRUE(client.Send(bytes));
  for (int i = 0; i < 50; ++i) {
    const auto reply = client.Read();
    ASSERT_TRUE(reply) << i;
    EXPECT_EQ(reply->body, std::to_string(i));
  }
}

TEST_F(HttpServerTest, PipelinedRequestWaitsForARunningStream) {
  HttpClient client(Start());
  ASSERT_TRUE(client.Get("/hold"));
  ASSERT_TRUE(holding_.Wait());
  ASSERT_TRUE(client.Get("/things/next"));
  held_->StartStream({});
  held_->Write("a");
  held_->Write("b");
  held_->FinishStream();
  auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "ab");
  reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "next");
}

TEST_F(HttpServerTest, StreamsPieceByPiece) {
  HttpClient client(Start());
  ASSERT_TRUE(client.Get("/hold"));
  ASSERT_TRUE(holding_.Wait());
  HttpResponse head;
  head.content_type = "text/event-stream";
  held_->StartStream(head);
  const auto reply = client.ReadHead();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->headers.at("content-type"), "text/event-stream");
  // Each piece must arrive before the next is written.
  for (const char* piece : {"data: 1\n\n", "data: 2\n\n"}) {
    held_->Write(piece);
    EXPECT_EQ(client.ReadPiece(), piece);
  }
  held_->FinishStream();
  EXPECT_EQ(client.ReadPiece(), "");
}

TEST_F(HttpServerTest, StreamsToHttp10UntilClose) {
  HttpClient client(Start());
  ASSERT_TRUE(client.Send("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  ASSERT_TRUE(holding_.Wait());
  held_->StartStream({});
  held_->Write("abc");
  held_->FinishStream();
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(reply->headers.at("connection"), "close");
  EXPECT_EQ(reply->body, "abc");
}

TEST_F(HttpServerTest, AnswersHeadAndOptions) {
  HttpClient client(Start());
  ASSERT_TRUE(client.Send("HEAD /things/abc HTTP/1.1\r\nHost: t\r\n\r\n"));
  auto reply = client.Read(/*head_only=*/true);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->headers.at("content-length"), "3");
  ASSERT_TRUE(client.Send("OPTIONS /echo HTTP/1.1\r\nHost: t\r\n\r\n"));
  reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 204);
  EXPECT_EQ(reply->headers.at("allow"), "POST, OPTIONS");
}

TEST_F(HttpServerTest, UnknownPathAndMethodAreJsonErrors) {
  const int port = Start();
  auto reply = HttpGet(port, "/nothing");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 404);
  EXPECT_NE(reply->body.find("\"message\":\"there is no /nothing here\""), std::string::npos)
      << reply->body;
  reply = HttpGet(port, "/echo");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 405);
  EXPECT_EQ(reply->headers.at("allow"), "POST, OPTIONS");
}

TEST_F(HttpServerTest, EveryAnswerCarriesTheRequestsId) {
  options_.max_body_bytes = 1000;
  options_.body_timeout = std::chrono::milliseconds(100);
  const int port = Start();
  const std::pair<int, std::string> requests[] = {
      {200, "GET /things/a HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n"},
      {404, "GET /nothing HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n"},
      {405, "GET /echo HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n"},
      {413, "POST /echo HTTP/1.1\r\nX-Request-Id: mine\r\nContent-Length: 9999\r\n\r\n"},
      {408, "POST /echo HTTP/1.1\r\nX-Request-Id: mine\r\nContent-Length: 10\r\n\r\nabc"},
      {500, "GET /drop HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n"},
      {200, "GET /drop-midway HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n"},
  };
  for (const auto& [status, bytes] : requests) {
    HttpClient client(port);
    ASSERT_TRUE(client.Send(bytes));
    const auto head = client.ReadHead();
    ASSERT_TRUE(head) << bytes;
    EXPECT_EQ(head->status, status);
    EXPECT_EQ(head->headers.at("x-request-id"), "mine") << bytes;
  }
  EXPECT_EQ(HttpGet(port, "/nothing")->headers.at("x-request-id").size(), 32u);
}

TEST_F(HttpServerTest, DecodesThePathsTail) {
  const int port = Start();
  EXPECT_EQ(HttpGet(port, "/things/a%2Fb%20c/d")->body, "a/b c/d");
  EXPECT_EQ(HttpGet(port, "/things/%zz")->status, 400);
  EXPECT_EQ(HttpGet(port, "/things/%2")->status, 400);
  EXPECT_EQ(HttpGet(port, "/things/")->status, 404);
}

TEST_F(HttpServerTest, AnswersForARouteThatDropsTheExchange) {
  const int port = Start();
  const auto reply = HttpGet(port, "/drop");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 500);
  HttpClient client(port);
  ASSERT_TRUE(client.Get("/drop-midway"));
  ASSERT_TRUE(client.ReadHead());
  EXPECT_EQ(client.ReadPiece(), "half");
  EXPECT_EQ(client.ReadPiece(), std::nullopt);  // cut short, not ended
}

TEST_F(HttpServerTest, RefusesALargeBodyBeforeItArrives) {
  options_.max_body_bytes = 1000;
  const int port = Start();
  HttpClient client(port);
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 104857600\r\n\r\n"));
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 413);
  EXPECT_NE(reply->body.find("104857600"), std::string::npos) << reply->body;
  EXPECT_NE(reply->body.find("--max-body-bytes"), std::string::npos) << reply->body;
  // The next client is served.
  EXPECT_EQ(HttpPost(port, "/echo", "x")->status, 200);
}

TEST_F(HttpServerTest, RefusalReachesAClientThatSendsEverythingFirst) {
  HttpClient client(Start());
  const std::string megabyte(1 << 20, 'x');
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 25165824\r\n\r\n"));
  // Half as much again as a request may have.
  for (int i = 0; i < 24; ++i) client.Send(megabyte);
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 413);
}

TEST_F(HttpServerTest, AnUploadThatGoesOnIsCutOff) {
  options_.max_body_bytes = 1 << 20;
  HttpClient client(Start());
  const std::string megabyte(1 << 20, 'x');
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576000\r\n\r\n"));
  int sent = 0;
  while (sent < 1000 && client.Send(megabyte)) ++sent;
  EXPECT_LT(sent, 100);
}

TEST_F(HttpServerTest, RefusesALargeChunkedBodyOnceItIsTooLarge) {
  options_.max_body_bytes = 1000;
  HttpClient client(Start());
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"));
  std::string chunk = "200\r\n" + std::string(512, 'x') + "\r\n";
  ASSERT_TRUE(client.Send(chunk + chunk));
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 413);
}

TEST_F(HttpServerTest, ReadsChunkedBodies) {
  HttpClient client(Start());
  ASSERT_TRUE(
      client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
  EXPECT_EQ(client.Read()->body, "abcde");
}

TEST_F(HttpServerTest, HonoursExpectContinue) {
  HttpClient client(Start());
  ASSERT_TRUE(
      client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                  "Content-Length: 3\r\n\r\n"));
  ASSERT_TRUE(client.WaitFor("HTTP/1.1 100 Continue\r\n\r\n"));
  ASSERT_TRUE(client.Send("abc"));
  EXPECT_EQ(client.Read()->body, "abc");
  // A refused upload is not asked for.
  ASSERT_TRUE(
      client.Send("POST /nothing HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                  "Content-Length: 3\r\n\r\n"));
  ASSERT_TRUE(client.WaitFor("\r\n\r\n"));
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 404);
  EXPECT_EQ(reply->headers.at("connection"), "close");
}

TEST_F(HttpServerTest, RefusesHeadersThatNeverEnd) {
  options_.max_header_bytes = 4096;
  const int port = Start();
  // In one endless line, in endlessly many lines, and in the request line.
  for (const std::string& filler :
       {std::string("x"), std::string("a: b\r\n"), std::string("/very/long")}) {
    HttpClient client(port);
    std::string bytes = filler[0] == '/' ? "GET " : "GET / HTTP/1.1\r\nX-Long: ";
    while (bytes.size() < 40'000) bytes += filler;
    client.Send(bytes);
    const auto reply = client.Read();
    ASSERT_TRUE(reply) << filler;
    EXPECT_TRUE(reply->status == 431 || reply->status == 400) << reply->status;
    EXPECT_TRUE(client.AtEnd());
  }
}

TEST_F(HttpServerTest, EndsAHeadThatDripsIn) {
  options_.header_timeout = std::chrono::milliseconds(100);
  HttpClient client(Start());
  ASSERT_TRUE(client.Send("GET /things/a HTTP/1.1\r\nHost: "));
  // Nothing more comes: the server gives up by its own clock, not by ours.
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 408);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServerTest, EndsABodyThatNeverComes) {
  options_.body_timeout = std::chrono::milliseconds(100);
  HttpClient client(Start());
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc"));
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 408);
}

TEST_F(HttpServerTest, ClosesIdleConnectionsSilently) {
  options_.idle_timeout = std::chrono::milliseconds(100);
  HttpClient client(Start());
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServerTest, RefusesMalformedRequests) {
  const int port = Start();
  for (const std::string bytes : {
           "nonsense\r\n\r\n",
           "GET / HTTP/9.9\r\n\r\n",
           "GET / HTTP/1.1\r\nno colon\r\n\r\n",
           "POST /echo HTTP/1.1\r\nContent-Length: 12abc\r\n\r\n",
           "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
           "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           "POST /echo HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
           "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
       }) {
    HttpClient client(port);
    ASSERT_TRUE(client.Send(bytes));
    const auto reply = client.Read();
    ASSERT_TRUE(reply) << bytes;
    EXPECT_EQ(reply->status, 400) << bytes;
    EXPECT_TRUE(client.AtEnd());
  }
  EXPECT_EQ(HttpPost(port, "/echo", "x")->status, 200);
}

TEST_F(HttpServerTest, HeaderValuesCannotForgeHeaders) {
  // Beast refuses bare line breaks in a value; obsolete folding turns into spaces.
  HttpClient client(Start());
  ASSERT_TRUE(client.Post("/echo", "x", "X-Request-Id: a\r\n Set-Cookie: b\r\n"));
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->headers.count("set-cookie"), 0u);
}

TEST_F(HttpServerTest, ClosesAfterAClientThatEndsWhileItIsAnswered) {
  // Asio reports the end of a stream once: an end seen while the answer was on its way must not be
  // waited for again. A race, hence the repetitions; the idle timeout is longer than this client's
  // patience.
  const int port = Start();
  for (int i = 0; i < 200; ++i) {
    HttpClient client(port);
    ASSERT_TRUE(client.Get("/things/a"));
    client.ShutdownSend();
    ASSERT_TRUE(client.ReadsToEnd()) << i;
  }
}

TEST_F(HttpServerTest, TellsWhenTheClientLeavesWhileWaiting) {
  HttpClient client(Start());
  ASSERT_TRUE(client.Get("/hold"));
  ASSERT_TRUE(holding_.Wait());
  client.Close();
  EXPECT_TRUE(gone_.Wait());
  held_->Respond({});  // dropped, harmless
}

TEST_F(HttpServerTest, TellsWhenTheClientResetsWhileStreaming) {
  HttpClient client(Start());
  ASSERT_TRUE(client.Get("/hold"));
  ASSERT_TRUE(holding_.Wait());
  held_->StartStream({});
  held_->Write("abc");
  ASSERT_TRUE(client.ReadHead());
  client.Reset();
  EXPECT_TRUE(gone_.Wait());
}

TEST_F(HttpServerTest, TellsWhenTheClientStopsReading) {
  options_.send_buffer_bytes = 4096;
  options_.write_timeout = std::chrono::hours(1);  // not by the clock
  options_.max_unsent_bytes = 100'000;
  HttpClient client(Start(), /*receive_buffer_bytes=*/4096);
  ASSERT_TRUE(client.Get("/hold"));
  ASSERT_TRUE(holding_.Wait());
  held_->StartStream({});
  const std::string piece(1000, 'x');
  std::atomic<bool> gone{false};
  held_->OnGone([&gone] { gone = true; });
  // Both socket buffers and the queue's bound are far below a hundred megabytes.
  for (int i = 0; i < 100'000 && !gone; ++i) held_->Write(piece);
  EXPECT_TRUE(gone);
}

TEST_F(HttpServerTest, GivesUpWritingToAStalledClient) {
  options_.send_buffer_bytes = 4096;
  options_.write_timeout = std::chrono::milliseconds(100);
  HttpClient client(Start(), /*receive_buffer_bytes=*/4096);
  ASSERT_TRUE(client.Get("/hold"));
  ASSERT_TRUE(holding_.Wait());
  held_->StartStream({});
  held_->Write(std::string(3'000'000, 'x'));  // below the bound: only the clock can end it
  EXPECT_TRUE(gone_.Wait());
}

TEST_F(HttpServerTest, StopCallsOnGoneForWhatIsRunning) {
  HttpClient client(Start());
  ASSERT_TRUE(client.Get("/hold"));
  ASSERT_TRUE(holding_.Wait());
  server_->Stop();
  EXPECT_TRUE(gone_.Wait());
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServerTest, RefusesConnectionsBeyondTheBound) {
  options_.max_connections = 1;
  const int port = Start();
  HttpClient first(port);
  ASSERT_TRUE(first.Post("/echo", "x"));
  ASSERT_TRUE(first.Read());
  HttpClient second(port);
  EXPECT_TRUE(second.AtEnd());
}

TEST_F(HttpServerTest, TheGateSeesTheHeadBeforeTheBody) {
  router_->SetGate([](const HttpRequest& head) -> std::optional<HttpResponse> {
    if (head.Header("authorization") == "Bearer right") return std::nullopt;
    HttpResponse response;
    response.status = 401;
    return response;
  });
  const int port = Start();
  HttpClient client(port);
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n"));
  EXPECT_EQ(client.Read()->status, 401);
  EXPECT_EQ(HttpPost(port, "/echo", "x", "Authorization: Bearer right\r\n")->status, 200);
}

TEST(HttpServerStartTest, SaysWhereItCannotListen) {
  HttpServerOptions options;
  options.listen = "127.0.0.1";
  auto router = std::make_shared<Router>();
  auto first = HttpServer::Start(options, router);
  ASSERT_TRUE(first.ok());
  options.port = (*first)->port();
  const auto second = HttpServer::Start(options, router);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("127.0.0.1:" + std::to_string(options.port)),
            std::string::npos)
      << second.status();
  options.listen = "localhost";
  EXPECT_EQ(HttpServer::Start(options, router).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice::gateway
