// SPDX-License-Identifier: Apache-2.0
// sluice.v1.Inference of a whole gateway, with a fake worker behind it.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "sluice/v1/inference.grpc.pb.h"
#include "tests/integration/gateway_fixture.h"

namespace sluice::gateway {
namespace {

namespace pb = ::sluice::worker::v1;
using sluice::testing::AnswerForever;
using sluice::testing::FakeWorker;
using sluice::testing::HttpGet;
using sluice::v1::ChatRequest;
using sluice::v1::ChatResponse;
using ::testing::HasSubstr;

class GatewayGrpcTest : public GatewayFixture {
 protected:
  void Connect(std::vector<std::string> options = {}) {
    if (options.empty()) {
      StartShared();
    } else {
      Start(std::move(options));
    }
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(gateway_->port("grpc")),
                                   grpc::InsecureChannelCredentials());
    stub_ = sluice::v1::Inference::NewStub(channel_);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }
  static ChatRequest Request() {
    ChatRequest request;
    request.add_messages()->set_role("user");
    request.mutable_messages(0)->set_content("hi");
    return request;
  }
  grpc::Status Ask(const ChatRequest& request) {
    const auto reader = stub_->Chat(&context_, request);
    ChatResponse response;
    while (reader->Read(&response)) responses_.push_back(response);
    return reader->Finish();
  }
  grpc::health::v1::HealthCheckResponse::ServingStatus Health() {
    const auto health = grpc::health::v1::Health::NewStub(channel_);
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service("sluice.v1.Inference");
    grpc::health::v1::HealthCheckResponse response;
    EXPECT_TRUE(health->Check(&context, request, &response).ok());
    return response.status();
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<sluice::v1::Inference::Stub> stub_;
  grpc::ClientContext context_;
  std::vector<ChatResponse> responses_;
};

TEST_F(GatewayGrpcTest, StreamsAnAnswerWithUsageOnTheLastMessage) {
  Connect();
  worker_->SetScript(Say("Hello, 世界!"));
  context_.AddMetadata("x-request-id", "mine");
  const grpc::Status status = Ask(Request());
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::string content;
  for (size_t i = 0; i < responses_.size(); ++i) {
    content += responses_[i].content();
    const bool last = i + 1 == responses_.size();
    EXPECT_EQ(responses_[i].has_usage(), last);
    EXPECT_EQ(responses_[i].finish_reason(), last ? "stop" : "");
    EXPECT_EQ(responses_[i].model(), kModel);
  }
  EXPECT_EQ(content, "Hello, 世界!");
  EXPECT_EQ(responses_.back().usage().prompt_tokens(),
            static_cast<uint32_t>(worker_->requests()[0].prompt_ids_size()));
  EXPECT_THAT(worker_->requests()[0].request_id(), HasSubstr("mine-"));
  EXPECT_EQ(context_.GetServerInitialMetadata().find("x-request-id")->second, "mine");
}

TEST_F(GatewayGrpcTest, SplitsThinkingAndSendsLogprobBytes) {
  Connect();
  worker_->SetScript([](FakeWorker::Generation& generation) {
    std::vector<int32_t> ids = {Control("<think>")};
    for (const int32_t id : Encode("\nhm\n")) ids.push_back(id);
    ids.push_back(Control("</think>"));
    for (const int32_t id : Encode("\n\n世")) ids.push_back(id);
    for (const int32_t id : ids) {
      pb::GenerateResponse response;
      response.add_ids(id);
      response.add_logprobs()->set_logprob(-1.0f);
      generation.Write(response);
    }
    generation.Finish(pb::FINISH_REASON_LENGTH, static_cast<int>(ids.size()));
    return grpc::Status::OK;
  });
  ChatRequest request = Request();
  request.set_top_logprobs(0);
  ASSERT_TRUE(Ask(request).ok());
  std::string reasoning;
  std::string content;
  std::string bytes;
  for (const ChatResponse& response : responses_) {
    reasoning += response.reasoning_content();
    content += response.content();
    for (const auto& logprob : response.logprobs()) bytes += logprob.bytes();
  }
  EXPECT_EQ(reasoning, "hm");
  EXPECT_EQ(content, "世");
  EXPECT_EQ(bytes, "<think>\nhm\n</think>\n\n世");
  EXPECT_GT(responses_.back().usage().reasoning_tokens(), 0u);
}

TEST_F(GatewayGrpcTest, RefusesWithTheSameWordsAsHttp) {
  Connect();
  ChatRequest request = Request();
  request.set_top_p(2.0f);
  const grpc::Status status = Ask(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  nlohmann::json body = ChatBody();
  body["top_p"] = 2.0;
  EXPECT_EQ(nlohmann::json::parse(Chat(body).body)["error"]["message"], status.error_message());
}

TEST_F(GatewayGrpcTest, NamesTheFieldItRefuses) {
  Connect();
  const auto refused = [this](const ChatRequest& request) {
    grpc::ClientContext context;
    const auto reader = stub_->Chat(&context, request);
    ChatResponse response;
    while (reader->Read(&response)) {
    }
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  EXPECT_THAT(refused(ChatRequest()), HasSubstr("messages"));
  ChatRequest request = Request();
  request.mutable_messages(0)->set_role("wizard");
  EXPECT_THAT(refused(request), HasSubstr("messages[0].role"));
  request = Request();
  request.set_n(3'000'000'000u);
  EXPECT_THAT(refused(request), HasSubstr("n"));
  request = Request();
  request.set_chat_template_kwargs_json("{");
  EXPECT_THAT(refused(request), HasSubstr("chat_template_kwargs"));
}

TEST_F(GatewayGrpcTest, AnotherModelIsNotFound) {
  Connect();
  ChatRequest request = Request();
  request.set_model("gpt-4");
  EXPECT_EQ(Ask(request).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GatewayGrpcTest, CancelFreesTheWork) {
  Connect();
  worker_->SetScript(AnswerForever(Encode(" a")[0]));
  const auto reader = stub_->Chat(&context_, Request());
  ChatResponse response;
  ASSERT_TRUE(reader->Read(&response));
  context_.TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(worker_->AwaitCancels(1));
  EXPECT_TRUE(worker_->AwaitIdle());
}

TEST_F(GatewayGrpcTest, ClientThatStopsReadingFreesTheWork) {
  Connect({"--max-unsent-bytes=65536"});
  worker_->SetScript(AnswerForever(Encode(" a")[0]));
  const auto reader = stub_->Chat(&context_, Request());
  ChatResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_TRUE(worker_->AwaitCancels(1));
  EXPECT_TRUE(worker_->AwaitIdle());
  while (reader->Read(&response)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
}

TEST_F(GatewayGrpcTest, TheDeadlineStopsTheWork) {
  Connect();
  worker_->SetScript(AnswerForever(Encode(" a")[0]));
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  EXPECT_EQ(Ask(Request()).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(worker_->AwaitIdle());
}

TEST_F(GatewayGrpcTest, ARefusalKeepsItsWaitingTime) {
  Connect();
  worker_->SetScript([](FakeWorker::Generation& generation) {
    generation.context().AddTrailingMetadata("sluice-retry-after-ms", "700");
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  });
  EXPECT_EQ(Ask(Request()).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(context_.GetServerTrailingMetadata().find("sluice-retry-after-ms")->second, "700");
}

TEST_F(GatewayGrpcTest, EveryGroupFullIsResourceExhausted) {
  worker_ = MakeWorker();
  const auto second = MakeWorker();
  Connect({"--workers=" + worker_->address() + "," + second->address()});
  ASSERT_TRUE(AwaitMetric("sluice_gateway_worker_groups_ready 2"));
  for (FakeWorker* worker : {worker_.get(), second.get()}) {
    worker->SetScript([wait = worker == second.get() ? "900" : "700"](auto& generation) {
      generation.context().AddTrailingMetadata("sluice-retry-after-ms", wait);
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
    });
  }
  EXPECT_EQ(Ask(Request()).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(context_.GetServerTrailingMetadata().find("sluice-retry-after-ms")->second, "700");
  EXPECT_EQ(worker_->requests().size(), 1u);
  EXPECT_EQ(second->requests().size(), 1u);
}

// Whoever has seen the one change finds that the other has changed, too.
TEST_F(GatewayGrpcTest, HealthIsNeverBehindReadyz) {
  using grpc::health::v1::HealthCheckResponse;
  Connect();
  for (const bool serving : {true, false, true, false}) {
    worker_->SetServing(serving);
    while (HttpGet(http_port(), "/readyz")->status != (serving ? 200 : 503)) {
    }
    EXPECT_EQ(Health(), serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  }
  worker_->SetServing(true);
}

TEST_F(GatewayGrpcTest, HealthFollowsTheWorkers) {
  Connect();
  using grpc::health::v1::HealthCheckResponse;
  while (Health() != HealthCheckResponse::SERVING) {
  }
  worker_->SetServing(false);
  while (Health() != HealthCheckResponse::NOT_SERVING) {
  }
  const grpc::Status status = Ask(Request());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("not serving"));
}

}  // namespace
}  // namespace sluice::gateway
