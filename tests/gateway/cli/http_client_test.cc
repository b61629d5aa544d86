// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "tests/gateway/cli/canned_server.h"

namespace sluice::gateway {
namespace {

using ::sluice::testing::CannedServer;
using ::testing::HasSubstr;

TEST(ParseHttpUrlTest, ReadsHostPortAndPath) {
  const auto url = ParseHttpUrl("http://localhost:8000/base/");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->host, "localhost");
  EXPECT_EQ(url->port, "8000");
  EXPECT_EQ(url->path, "/base");
  EXPECT_EQ(ParseHttpUrl("http://[::1]:81")->host, "::1");
  EXPECT_EQ(ParseHttpUrl("http://[::1]:81")->port, "81");
  EXPECT_EQ(ParseHttpUrl("http://example")->port, "80");
}

TEST(ParseHttpUrlTest, SaysWhatIsWrong) {
  for (const char* text : {"localhost:8000", "", "http://", "http://:80", "http://h:", "http://h:0",
                           "http://h:65536", "http://h:8a", "http://[::1", "https://h"}) {
    EXPECT_FALSE(ParseHttpUrl(text).ok()) << text;
  }
  EXPECT_THAT(std::string(ParseHttpUrl("https://h").status().message()), HasSubstr("https"));
}

struct Fetched {
  absl::StatusOr<int> status;
  std::string body;
};

Fetched FetchFrom(const CannedServer& server, std::string body = "", HttpLimits limits = {}) {
  Fetched fetched;
  const HttpRequest request{*ParseHttpUrl(server.url()), "/x", std::move(body), "key"};
  fetched.status =
      Fetch(request, limits, [&](int, std::string_view piece) { fetched.body.append(piece); });
  return fetched;
}

TEST(FetchTest, ReadsLengthChunksAndEndOfConnection) {
  CannedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                       "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                       "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end"});
  const Fetched by_length = FetchFrom(server);
  EXPECT_EQ(by_length.status.value(), 200);
  EXPECT_EQ(by_length.body, "hello");
  const Fetched chunked = FetchFrom(server, "{}");
  EXPECT_EQ(chunked.status.value(), 404);
  EXPECT_EQ(chunked.body, "abcde");
  EXPECT_EQ(FetchFrom(server).body, "to the end");
  EXPECT_THAT(server.requests()[0], HasSubstr("GET /x HTTP/1.1"));
  EXPECT_THAT(server.requests()[0], HasSubstr("Authorization: Bearer key"));
  EXPECT_THAT(server.requests()[1], HasSubstr("POST /x HTTP/1.1"));
  EXPECT_THAT(server.requests()[1], HasSubstr("\r\n\r\n{}"));
}

TEST(FetchTest, ABrokenAnswerIsUnavailable) {
  CannedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "garbage\r\n\r\n"});
  EXPECT_TRUE(absl::IsUnavailable(FetchFrom(server).status.status()));
  EXPECT_TRUE(absl::IsUnavailable(FetchFrom(server).status.status()));
}

TEST(FetchTest, NobodyListening) {
  std::string url;
  {
    CannedServer server({});
    url = server.url();
  }
  const HttpRequest request{*ParseHttpUrl(url), "/", "", ""};
  const auto status = Fetch(request, {}, [](int, std::string_view) {}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot connect to 127.0.0.1:"));
}

TEST(FetchTest, SilenceHasALimit) {
  CannedServer server({"HTTP/1.1 200 OK\r\n"}, /*hold_open=*/true);
  HttpLimits limits;
  limits.silence = std::chrono::milliseconds(50);
  EXPECT_TRUE(absl::IsDeadlineExceeded(FetchFrom(server, "", limits).status.status()));
}

// What is there is handed out at once, even where the answer goes on.
TEST(FetchTest, APieceDoesNotWaitForTheNext) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  CannedServer server({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nd"},
                      /*hold_open=*/true);
  const HttpRequest request{*ParseHttpUrl(server.url()), "/", "", ""};
  HttpLimits limits;
  limits.interrupt_fd = fds[0];
  std::string body;
  const auto status = Fetch(request, limits, [&](int, std::string_view piece) {
    body.append(piece);
    if (body == "abcd") {
      EXPECT_EQ(write(fds[1], "x", 1), 1);
    }
  });
  EXPECT_TRUE(absl::IsCancelled(status.status())) << status.status();
  close(fds[0]);
  close(fds[1]);
}

TEST(FetchTest, AReadableDescriptorInterrupts) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  CannedServer server({"HTTP/1.1 200 OK\r\n"}, /*hold_open=*/true);
  HttpLimits limits;
  limits.interrupt_fd = fds[0];
  EXPECT_TRUE(absl::IsCancelled(FetchFrom(server, "", limits).status.status()));
  char byte;
  EXPECT_EQ(read(fds[0], &byte, 1), 1);  // still the caller's to take
  close(fds[0]);
  close(fds[1]);
}

// The interrupt comes while more of the answer is already there: it must not get lost between two
// reads. The server holds the connection open, so a lost one would wait for ever.
TEST(FetchTest, AnInterruptAmidAStreamEndsIt) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  std::string stream = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 60000; ++i) stream += "1\r\nx\r\n";
  CannedServer server({stream}, /*hold_open=*/true);
  const HttpRequest request{*ParseHttpUrl(server.url()), "/", "", ""};
  HttpLimits limits;
  limits.interrupt_fd = fds[0];
  size_t pieces = 0;
  size_t bytes = 0;
  const auto status = Fetch(request, limits, [&](int, std::string_view piece) {
    bytes += piece.size();
    if (++pieces == 2) {
      EXPECT_EQ(write(fds[1], "x", 1), 1);
    }
  });
  EXPECT_TRUE(absl::IsCancelled(status.status())) << status.status();
  EXPECT_LT(bytes, 60000u);
  close(fds[0]);
  close(fds[1]);
}

// Requests on one HttpClient until they have all ended.
struct Sent {
  std::string body;
  absl::StatusOr<HttpReply> reply = absl::UnknownError("still runs");
  HttpCancel cancel;
};

class HttpClientTest : public ::testing::Test {
 protected:
  void Connect(const CannedServer& server) {
    url_ = *ParseHttpUrl(server.url());
    client_ = *HttpClient::Create(url_, {});
  }
  Sent* Send(std::string body = "{}") {
    sent_.push_back(std::make_unique<Sent>());
    Sent* sent = sent_.back().get();
    ++running_;
    sent->cancel = client_->Send(
        {url_, "/x", std::move(body), ""},
        [sent](int, std::string_view piece) { sent->body.append(piece); },
        [this, sent](const absl::StatusOr<HttpReply>& reply) {
          sent->reply = reply;
          --running_;
        });
    return sent;
  }
  void AwaitAll() {
    while (running_ > 0) {
      client_->RunOnce(std::chrono::steady_clock::now() + std::chrono::seconds(30));
    }
  }
  HttpUrl url_;
  std::unique_ptr<HttpClient> client_;
  std::vector<std::unique_ptr<Sent>> sent_;
  int running_ = 0;
};

constexpr char kTwoPieces[] =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";

TEST_F(HttpClientTest, AClosedKeptConnectionIsReplaced) {
  // The server closes each connection after its answer without having said so.
  CannedServer server({kTwoPieces, kTwoPieces, kTwoPieces});
  Connect(server);
  for (int i = 0; i < 3; ++i) {
    Sent* sent = Send();
    AwaitAll();
    ASSERT_TRUE(sent->reply.ok()) << sent->reply.status();
    EXPECT_EQ(sent->reply->status, 200);
    EXPECT_EQ(sent->body, "abc");
  }
  EXPECT_EQ(server.requests().size(), 3u);
}

TEST_F(HttpClientTest, AnErrorsRetryAfterIsHandedOut) {
  CannedServer server({"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}"});
  Connect(server);
  Sent* sent = Send();
  AwaitAll();
  ASSERT_TRUE(sent->reply.ok()) << sent->reply.status();
  EXPECT_EQ(sent->reply->status, 429);
  EXPECT_EQ(sent->reply->retry_after, "7");
}

TEST_F(HttpClientTest, ABreakAmidTheAnswerIsNotTriedAgain) {
  CannedServer server({kTwoPieces, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", kTwoPieces});
  Connect(server);
  Send();
  AwaitAll();
  Sent* cut = Send();
  AwaitAll();
  EXPECT_TRUE(absl::IsUnavailable(cut->reply.status())) << cut->reply.status();
  EXPECT_EQ(cut->body, "abc");
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(HttpClientTest, ACancelledRequestEndsAtOnce) {
  CannedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"}, /*hold_open=*/true);
  Connect(server);
  Sent* sent = Send();
  while (sent->body.empty()) {
    client_->RunOnce(std::chrono::steady_clock::now() + std::chrono::seconds(30));
  }
  sent->cancel();
  AwaitAll();
  EXPECT_TRUE(absl::IsCancelled(sent->reply.status())) << sent->reply.status();
  sent->cancel();  // nothing to do any more
  // One that was dropped with its client, mid-flight.
  Send();
  client_.reset();
}

}  // namespace
}  // namespace sluice::gateway
