// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

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
  for (int i = 0; i < 20000; ++i) stream += "1\r\nx\r\n";
  CannedServer server({stream}, /*hold_open=*/true);
  const HttpRequest request{*ParseHttpUrl(server.url()), "/", "", ""};
  HttpLimits limits;
  limits.interrupt_fd = fds[0];
  size_t pieces = 0;
  const auto status = Fetch(request, limits, [&](int, std::string_view) {
    if (++pieces == 100) {
      EXPECT_EQ(write(fds[1], "x", 1), 1);
    }
  });
  EXPECT_TRUE(absl::IsCancelled(status.status())) << status.status();
  EXPECT_LT(pieces, 20000u);
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace sluice::gateway
