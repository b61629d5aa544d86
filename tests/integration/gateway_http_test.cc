// SPDX-License-Identifier: Apache-2.0
// The OpenAI API of a whole gateway, with a fake worker behind it.
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/integration/gateway_fixture.h"

namespace sluice::gateway {
namespace {

namespace pb = ::sluice::worker::v1;
using nlohmann::json;
using sluice::testing::FakeWorker;
using sluice::testing::HttpGet;
using sluice::testing::HttpPost;
using ::testing::HasSubstr;
using ::testing::Not;

using GatewayHttpTest = GatewayFixture;

TEST_F(GatewayHttpTest, AnswersWhole) {
  StartShared();
  worker_->SetScript(Say("Hello, wörld!"));
  const auto reply = Chat(ChatBody(), "X-Request-Id: mine-1\r\n");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  EXPECT_EQ(reply.headers.at("x-request-id"), "mine-1");
  const json body = json::parse(reply.body);
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["model"], kModel);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Hello, wörld!");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["prompt_tokens"], worker_->requests().at(0).prompt_ids_size());
}

TEST_F(GatewayHttpTest, StreamsWhatItAnswersWhole) {
  StartShared();
  worker_->SetScript(Say("Hello, 世界!"));
  json request = ChatBody(true);
  request["stream_options"]["include_usage"] = true;
  const auto reply = Chat(request);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(reply.headers.at("content-type"), HasSubstr("text/event-stream"));
  bool done = false;
  std::string content;
  std::string finish;
  const auto events = Events(reply.body, &done);
  EXPECT_TRUE(done);
  for (const json& event : events) {
    for (const json& choice : event["choices"]) {
      if (choice["delta"].contains("content") && choice["delta"]["content"].is_string()) {
        content += choice["delta"]["content"].get<std::string>();
      }
      if (choice["finish_reason"].is_string()) finish = choice["finish_reason"];
    }
  }
  EXPECT_EQ(content, "Hello, 世界!");
  EXPECT_EQ(finish, "stop");
  EXPECT_GT(events.back()["usage"]["completion_tokens"], 0);
}

TEST_F(GatewayHttpTest, EachTokenArrivesWithoutWaitingForTheNext) {
  StartShared();
  std::mutex mu;
  std::condition_variable changed;
  int allowed = 0;
  const std::vector<int32_t> ids = Encode("one two three");
  worker_->SetScript([&](FakeWorker::Generation& generation) {
    for (size_t i = 0; i < ids.size(); ++i) {
      std::unique_lock<std::mutex> lock(mu);
      if (!changed.wait_for(lock, std::chrono::seconds(60),
                            [&] { return allowed > static_cast<int>(i); })) {
        return grpc::Status(grpc::StatusCode::INTERNAL, "the test went away");
      }
      generation.Write({ids[i]});
    }
    generation.Finish(pb::FINISH_REASON_LENGTH, static_cast<int>(ids.size()));
    return grpc::Status::OK;
  });
  sluice::testing::HttpClient client(http_port());
  ASSERT_TRUE(client.Post(kChat, ChatBody(true).dump()));
  for (const char* text : {"one", " two", " three"}) {
    {
      std::lock_guard<std::mutex> lock(mu);
      ++allowed;
      changed.notify_all();
    }
    ASSERT_TRUE(client.WaitFor(std::string("\"content\":\"") + text + "\"")) << text;
  }
  EXPECT_TRUE(client.WaitFor("[DONE]"));
}

TEST_F(GatewayHttpTest, PassesTheRequestOn) {
  StartShared();
  std::string traceparent;
  worker_->SetScript([&](FakeWorker::Generation& generation) {
    traceparent = generation.Metadata("traceparent");
    return Say("x")(generation);
  });
  json body = ChatBody();
  body["temperature"] = 0;
  body["max_tokens"] = 7;
  body["seed"] = 42;
  const std::string sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  ASSERT_EQ(Chat(body, "traceparent: " + sent + "\r\nX-Request-Id: abc\r\n").status, 200);
  const pb::GenerateRequest seen = worker_->requests().at(0);
  EXPECT_EQ(traceparent, sent);
  EXPECT_THAT(seen.request_id(), HasSubstr("abc-"));
  EXPECT_EQ(seen.sampling().temperature(), 0.0f);
  EXPECT_EQ(seen.sampling().max_tokens(), 7u);
  EXPECT_EQ(seen.sampling().seed(), 42u);
  EXPECT_EQ(seen.sampling().top_k(), 20u);  // the model's default
  const std::vector<int32_t> prompt(seen.prompt_ids().begin(), seen.prompt_ids().end());
  EXPECT_EQ(tokenizer().Decode(prompt, false),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_THAT(gateway_->Log(), HasSubstr("traceparent=" + sent));
  EXPECT_THAT(gateway_->Log(), Not(HasSubstr("hi<|im_end|>")));
}

TEST_F(GatewayHttpTest, TwoRequestsOfOneIdAreTwoRequests) {
  StartShared();
  worker_->SetScript(Say("x"));
  ASSERT_EQ(Chat(ChatBody(), "X-Request-Id: same\r\n").status, 200);
  ASSERT_EQ(Chat(ChatBody(), "X-Request-Id: same\r\n").status, 200);
  EXPECT_NE(worker_->requests()[0].request_id(), worker_->requests()[1].request_id());
}

TEST_F(GatewayHttpTest, ServesCompletions) {
  StartShared();
  worker_->SetScript(Say(" there"));
  auto reply = HttpPost(http_port(), "/v1/completions",
                        R"({"model":"qwen","prompt":"hello","max_tokens":4})");
  ASSERT_EQ(reply->status, 200) << reply->body;
  EXPECT_EQ(json::parse(reply->body)["choices"][0]["text"], " there");
  reply = HttpPost(http_port(), "/v1/completions",
                   R"({"model":"qwen","prompt":"hello","max_tokens":4,"stream":true})");
  ASSERT_EQ(reply->status, 200) << reply->body;
  bool done = false;
  std::string text;
  for (const json& event : Events(reply->body, &done)) {
    for (const json& choice : event["choices"]) text += choice["text"].get<std::string>();
  }
  EXPECT_TRUE(done);
  EXPECT_EQ(text, " there");
}

TEST_F(GatewayHttpTest, ListsItsModels) {
  StartShared();
  const auto list = HttpGet(http_port(), "/v1/models");
  ASSERT_EQ(list->status, 200);
  const json body = json::parse(list->body);
  EXPECT_EQ(body["data"][0]["id"], kModel);
  EXPECT_EQ(body["data"][0]["max_model_len"], kMaxModelLen);
  EXPECT_EQ(HttpGet(http_port(), "/v1/models/qwen")->status, 200);
  EXPECT_EQ(HttpGet(http_port(), "/v1/models/gpt")->status, 404);
}

TEST_F(GatewayHttpTest, AnotherModelIsNotFound) {
  StartShared();
  json body = ChatBody();
  body["model"] = "gpt-4";
  const auto reply = Chat(body);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(json::parse(reply.body)["error"]["code"], "model_not_found");
}

TEST_F(GatewayHttpTest, Tokenizes) {
  StartShared();
  auto reply =
      HttpPost(http_port(), "/tokenize", R"({"model":"qwen","prompt":"The capital of France is"})");
  ASSERT_EQ(reply->status, 200) << reply->body;
  const json body = json::parse(reply->body);
  EXPECT_EQ(body["tokens"], json({785, 6722, 315, 9625, 374}));
  EXPECT_EQ(body["count"], 5);
  EXPECT_EQ(body["max_model_len"], kMaxModelLen);
  reply =
      HttpPost(http_port(), "/detokenize", R"({"model":"qwen","tokens":[785,6722,315,9625,374]})");
  ASSERT_EQ(reply->status, 200) << reply->body;
  EXPECT_EQ(json::parse(reply->body)["prompt"], "The capital of France is");
}

TEST_F(GatewayHttpTest, AsksForKeysWhenThereAreSome) {
  const std::string path = ::testing::TempDir() + "keys.txt";
  {
    std::ofstream file(path);
    file << "# two keys\nalpha\n\nbeta\n";
  }
  Start({"--api-keys-file=" + path});
  worker_->SetScript(Say("x"));
  auto reply = Chat(ChatBody());
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(reply.headers.at("www-authenticate"), "Bearer");
  EXPECT_EQ(Chat(ChatBody(), "Authorization: Bearer gamma\r\n").status, 401);
  EXPECT_EQ(Chat(ChatBody(), "Authorization: Bearer beta\r\n").status, 200);
  EXPECT_EQ(HttpGet(http_port(), "/v1/models")->status, 401);
  EXPECT_EQ(HttpGet(http_port(), "/readyz")->status, 200);  // probes carry no keys
  EXPECT_THAT(gateway_->Log(), Not(HasSubstr("beta")));
}

TEST_F(GatewayHttpTest, CountsWhatItDoes) {
  Start();
  worker_->SetScript(Say("a b c"));
  ASSERT_EQ(Chat(ChatBody(true)).status, 200);
  ASSERT_EQ(HttpPost(http_port(), kChat, "{")->status, 400);
  const std::string text = MetricsText();
  for (const char* line : {
           "sluice_gateway_requests_total{outcome=\"ok\",route=\"chat_completions\"} 1",
           "sluice_gateway_requests_total{outcome=\"invalid_argument\",route=\"chat_completions\"} "
           "1",
           "sluice_gateway_running_requests{route=\"chat_completions\"} 0",
           "sluice_gateway_time_to_first_token_seconds_count{route=\"chat_completions\"} 1",
           "sluice_gateway_inter_token_latency_seconds_count ",
           "sluice_gateway_tokens_total{kind=\"completion\"} 4",
           "sluice_gateway_worker_groups_ready 1",
           "sluice_gateway_http_received_bytes_total ",
           "sluice_gateway_startup_seconds{phase=\"tokenizer\"} ",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  // What promtool asks for: every sample belongs to a family with HELP and TYPE, counters end in
  // _total, and names and labels have the right form.
  std::set<std::string> families;
  std::istringstream lines(text);
  std::string line;
  const std::regex sample(
      R"(^([a-z_]+)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.eEinfNa]+$)");
  while (std::getline(lines, line)) {
    if (line.rfind("# TYPE ", 0) == 0) {
      const std::string name = line.substr(7, line.find(' ', 7) - 7);
      families.insert(name);
      if (line.ends_with(" counter")) {
        EXPECT_TRUE(name.ends_with("_total")) << name;
      }
      continue;
    }
    if (line.rfind("# HELP ", 0) == 0) continue;
    std::smatch match;
    ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
    const std::string name = match[1];
    const std::string family = std::regex_replace(name, std::regex("_(bucket|sum|count)$"), "");
    EXPECT_TRUE(families.count(name) + families.count(family) > 0) << name;
  }
  EXPECT_EQ(HttpGet(http_port(), "/metrics")->status, 200);  // on the API's port too
}

TEST_F(GatewayHttpTest, LogsJsonLines) {
  Start({"--log-format=json"});
  worker_->SetScript(Say("secret answer"));
  ASSERT_EQ(Chat(ChatBody(false, "secret question")).status, 200);
  std::istringstream lines(gateway_->Log());
  std::string line;
  bool saw_request = false;
  while (std::getline(lines, line)) {
    const json event = json::parse(line, nullptr, false);
    ASSERT_FALSE(event.is_discarded()) << line;
    EXPECT_TRUE(event.contains("time") && event.contains("level") && event.contains("message"));
    saw_request |= event["message"] == "request ended" && event["outcome"] == "ok";
  }
  EXPECT_TRUE(saw_request) << gateway_->Log();
  EXPECT_THAT(gateway_->Log(), Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace sluice::gateway
