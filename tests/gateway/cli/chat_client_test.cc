// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/chat_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/gateway/cli/canned_server.h"

namespace sluice::gateway {
namespace {

using ::sluice::testing::CannedServer;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHead[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

std::string Answer(const std::string& content, bool done = true) {
  return std::string(kHead) +
         "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
         "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\",\"reasoning\":\"hm\"}}]}\n\n"
         "data: {\"choices\":[{\"delta\":{\"content\":\"" +
         content +
         "\"},\"finish_reason\":\"stop\"}]}\n\n"
         "data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n\n" +
         (done ? "data: [DONE]\n\n" : "");
}

ChatClient ClientOf(const CannedServer& server) {
  ChatOptions options;
  options.url = *ParseHttpUrl(server.url());
  options.model = "m";
  return ChatClient(options);
}

void Ignore(AnswerPart, std::string_view) {}

TEST(ChatClientTest, SplitsThinkingFromTextAndCounts) {
  CannedServer server({Answer("hello")});
  ChatClient client = ClientOf(server);
  std::string thinking, text;
  const auto stats = client.Ask("hi", -1, [&](AnswerPart part, std::string_view piece) {
    (part == AnswerPart::kThinking ? thinking : text).append(piece);
  });
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(thinking, "hm");
  EXPECT_EQ(text, "hello");
  EXPECT_EQ(stats->completion_tokens, 7);
  EXPECT_EQ(stats->finish_reason, "stop");
  EXPECT_GT(stats->to_first_token.count(), 0);
  EXPECT_LE(stats->to_first_token.count(), stats->total.count());
}

TEST(ChatClientTest, TheNextTurnCarriesTheAnswerWithoutItsThinking) {
  CannedServer server({Answer("hello"), Answer("again"), Answer("anew")});
  ChatClient client = ClientOf(server);
  client.set_system_prompt("be brief");
  client.set_enable_thinking(false);
  ASSERT_TRUE(client.Ask("one", -1, Ignore).ok());
  ASSERT_TRUE(client.Ask("two", -1, Ignore).ok());
  client.Clear();
  ASSERT_TRUE(client.Ask("three", -1, Ignore).ok());
  const auto requests = server.requests();
  EXPECT_THAT(
      requests[1],
      HasSubstr(R"({"role":"system","content":"be brief"},{"role":"user","content":"one"},)"
                R"({"role":"assistant","content":"hello"},{"role":"user","content":"two"})"));
  EXPECT_THAT(requests[1], HasSubstr(R"("chat_template_kwargs":{"enable_thinking":false})"));
  EXPECT_THAT(requests[2], Not(HasSubstr("hello")));
}

TEST(ChatClientTest, AnErrorKeepsTheHistoryAndTheServersWords) {
  CannedServer server(
      {"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n"
       "{\"error\":{\"message\":\"temperature is 9\"}}",
       std::string(kHead) + "data: {\"error\":{\"message\":\"rank died\"}}\n\n",
       Answer("hello", /*done=*/false), Answer("hello")});
  ChatClient client = ClientOf(server);
  EXPECT_THAT(std::string(client.Ask("one", -1, Ignore).status().message()),
              HasSubstr("the server answered 400: temperature is 9"));
  EXPECT_THAT(std::string(client.Ask("two", -1, Ignore).status().message()),
              HasSubstr("rank died"));
  EXPECT_THAT(std::string(client.Ask("three", -1, Ignore).status().message()),
              HasSubstr("before the answer ended"));
  ASSERT_TRUE(client.Ask("four", -1, Ignore).ok());
  EXPECT_THAT(server.requests()[3], Not(HasSubstr("one")));
}

TEST(ChatClientTest, ConnectTakesTheFirstModel) {
  CannedServer server({std::string(kHead) + R"({"data":[{"id":"qwen"},{"id":"b"}]})",
                       std::string(kHead) + R"({"data":[]})"});
  ChatOptions options;
  options.url = *ParseHttpUrl(server.url());
  ChatClient client(options);
  ASSERT_TRUE(client.Connect().ok());
  EXPECT_EQ(client.model(), "qwen");
  EXPECT_TRUE(client.Connect().ok());  // known by now: no second request
  EXPECT_TRUE(absl::IsUnavailable(ChatClient(options).Connect()));
}

TEST(ChatClientTest, AnInvalidByteFromTheTerminalIsReplaced) {
  CannedServer server({Answer("ok")});
  ChatClient client = ClientOf(server);
  ASSERT_TRUE(client.Ask("a\xff", -1, Ignore).ok());
  EXPECT_THAT(server.requests()[0], HasSubstr("a\xef\xbf\xbd"));
}

}  // namespace
}  // namespace sluice::gateway
