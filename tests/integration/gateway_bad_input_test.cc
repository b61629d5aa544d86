// SPDX-License-Identifier: Apache-2.0
// Bad input to a whole gateway: a 4xx that names what is wrong, and it goes on serving.
#include <signal.h>

#include <string>

#include "gmock/gmock.h"
#include "tests/integration/gateway_fixture.h"

namespace sluice::gateway {
namespace {

using nlohmann::json;
using sluice::testing::HttpClient;
using sluice::testing::HttpPost;
using sluice::testing::HttpReply;
using ::testing::HasSubstr;

class GatewayBadInputTest : public GatewayFixture {
 protected:
  void SetUp() override {
    GatewayFixture::SetUp();
    if (IsSkipped()) return;
    StartShared();
    worker_->SetScript(Say("fine"));
  }
  void TearDown() override {
    if (!gateway_) return;
    EXPECT_EQ(Chat(ChatBody()).status, 200) << "it does not go on serving";
  }
  // The error object of a refusal.
  json Refused(const std::string& body, int status = 400) {
    const auto reply = HttpPost(http_port(), kChat, body);
    EXPECT_TRUE(reply);
    if (!reply) return {};
    EXPECT_EQ(reply->status, status) << reply->body;
    EXPECT_EQ(reply->headers.count("x-request-id"), 1u);
    const json parsed = json::parse(reply->body, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << reply->body;
    return parsed.value("error", json::object());
  }
};

TEST_F(GatewayBadInputTest, MalformedBody) {
  for (const std::string body : {"", "{", "[]", "null", "\"x\"", "{\"messages\": [}", "{} x"}) {
    EXPECT_EQ(Refused(body)["type"], "invalid_request_error") << body;
  }
}

TEST_F(GatewayBadInputTest, UnknownRole) {
  json body = ChatBody();
  body["messages"][0]["role"] = "wizard";
  const json error = Refused(body.dump());
  EXPECT_THAT(error["param"].get<std::string>(), HasSubstr("messages[0].role"));
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("wizard"));
}

TEST_F(GatewayBadInputTest, PromptBeyondTheContext) {
  std::string content;
  for (int i = 0; i < 1000; ++i) content += "river ";
  const json error = Refused(ChatBody(false, content).dump());
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("512"));
  EXPECT_TRUE(worker_->requests().empty());
}

TEST_F(GatewayBadInputTest, InvalidUtf8) {
  const json error =
      Refused("{\"model\":\"qwen\",\"messages\":[{\"role\":\"user\",\"content\":\"a\xff\"}]}");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("UTF-8"));
}

TEST_F(GatewayBadInputTest, JsonNested100000Deep) {
  for (const char open : {'[', '{'}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += open == '[' ? "[" : "{\"a\":";
    Refused("{\"model\":\"qwen\",\"messages\":" + deep);
    Refused("{\"model\":\"qwen\",\"unknown\":" + deep);
  }
}

TEST_F(GatewayBadInputTest, Body100Megabytes) {
  HttpClient client(http_port());
  ASSERT_TRUE(client.Send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 104857600\r\n\r\n{"));
  const auto reply = client.Read();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 413);
  EXPECT_THAT(reply->body, HasSubstr("--max-body-bytes"));
}

TEST_F(GatewayBadInputTest, HeadersThatNeverEnd) {
  HttpClient client(http_port());
  ASSERT_TRUE(client.Send("POST /v1/chat/completions HTTP/1.1\r\n"));
  const std::string lines(64 * 1024, 'x');
  while (client.Send("X-Filler: " + lines + "\r\n")) {
  }
  const std::optional<HttpReply> reply = client.Read();
  if (reply) {  // a reset may overtake it
    EXPECT_EQ(reply->status, 431);
  }
}

}  // namespace
}  // namespace sluice::gateway
