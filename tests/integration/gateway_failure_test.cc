// SPDX-License-Identifier: Apache-2.0
// What a whole gateway does when clients leave or stall, workers refuse, break or are missing, and
// it is told to stop.
#include <signal.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "gmock/gmock.h"
#include "tests/integration/gateway_fixture.h"
#include "tests/support/qwen3_dir.h"

namespace sluice::gateway {
namespace {

namespace pb = ::sluice::worker::v1;
using nlohmann::json;
using sluice::testing::AnswerForever;
using sluice::testing::FakeWorker;
using sluice::testing::GatewayProcess;
using sluice::testing::HttpClient;
using sluice::testing::HttpGet;
using ::testing::HasSubstr;
using ::testing::Not;

class GatewayFailureTest : public GatewayFixture {
 protected:
  // Writes "go" and then nothing until the call is cancelled.
  static FakeWorker::Script SayGoAndHold() {
    return [ids = Encode("go")](FakeWorker::Generation& generation) {
      generation.Write(ids);
      generation.AwaitCancel();
      return grpc::Status::CANCELLED;
    };
  }
  // Refuses, and says how long to wait.
  static FakeWorker::Script FullFor(const char* milliseconds) {
    return [milliseconds](FakeWorker::Generation& generation) {
      generation.context().AddTrailingMetadata("sluice-retry-after-ms", milliseconds);
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
    };
  }
};

TEST_F(GatewayFailureTest, ClientThatLeavesAStreamFreesItsWork) {
  Start();
  worker_->SetScript(AnswerForever(Encode(" a")[0]));
  HttpClient client(http_port());
  ASSERT_TRUE(client.Post(kChat, ChatBody(true).dump()));
  ASSERT_TRUE(client.WaitFor("\"content\""));
  client.Close();
  ASSERT_TRUE(worker_->AwaitCancels(1));
  EXPECT_EQ(worker_->cancels()[0].reason(), pb::CancelRequest::REASON_DISCONNECT);
  EXPECT_EQ(worker_->cancels()[0].request_id(), worker_->requests()[0].request_id());
  EXPECT_TRUE(worker_->AwaitIdle());
  EXPECT_TRUE(AwaitMetric("sluice_gateway_cancelled_requests_total 1"));
}

TEST_F(GatewayFailureTest, ClientThatLeavesWhileWaitingFreesItsWork) {
  StartShared();
  worker_->SetScript(SayGoAndHold());
  HttpClient client(http_port());
  ASSERT_TRUE(client.Post(kChat, ChatBody(false).dump()));
  ASSERT_TRUE(worker_->AwaitRequests(1));
  client.Close();
  ASSERT_TRUE(worker_->AwaitCancels(1));
  EXPECT_TRUE(worker_->AwaitIdle());
}

TEST_F(GatewayFailureTest, ClientThatStopsReadingFreesItsWork) {
  Start({"--max-unsent-bytes=65536"});
  worker_->SetScript(AnswerForever(Encode(" a")[0]));
  HttpClient client(http_port(), /*receive_buffer_bytes=*/4096);
  ASSERT_TRUE(client.Post(kChat, ChatBody(true).dump()));
  // It reads nothing; the socket buffers fill, then the gateway's bound.
  ASSERT_TRUE(worker_->AwaitCancels(1));
  EXPECT_TRUE(worker_->AwaitIdle());
  EXPECT_EQ(HttpGet(http_port(), "/readyz")->status, 200);
}

TEST_F(GatewayFailureTest, WorkerThatDiesMidStreamEndsItWithAnErrorEvent) {
  Start();
  worker_->SetScript([ids = Encode("go")](FakeWorker::Generation& generation) {
    generation.Write(ids);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "a rank died");
  });
  const auto reply = Chat(ChatBody(true));
  EXPECT_EQ(reply.status, 200);
  bool done = true;
  const auto events = Events(reply.body, &done);
  EXPECT_FALSE(done);
  ASSERT_FALSE(events.empty());
  EXPECT_THAT(events.back()["error"]["message"].get<std::string>(), HasSubstr("a rank died"));
  EXPECT_THAT(reply.body, HasSubstr("\"content\":\"go\""));
}

TEST_F(GatewayFailureTest, WorkerThatDiesBeforeTheFirstTokenIs503) {
  Start();
  worker_->SetScript([](FakeWorker::Generation&) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "a rank died");
  });
  EXPECT_EQ(Chat(ChatBody(true)).status, 503);
}

TEST_F(GatewayFailureTest, FullQueueIs429WithTheTimeToWait) {
  StartShared();
  worker_->SetScript(FullFor("2500"));
  for (const bool stream : {false, true}) {
    const auto reply = Chat(ChatBody(stream));
    EXPECT_EQ(reply.status, 429);
    EXPECT_EQ(reply.headers.at("retry-after"), "3");
    EXPECT_EQ(reply.headers.at("retry-after-ms"), "2500");
    EXPECT_THAT(reply.body, HasSubstr("the queue is full"));
  }
}

TEST_F(GatewayFailureTest, EveryGroupFullIs429WithTheShortestTimeToWait) {
  worker_ = MakeWorker();
  const auto second = MakeWorker();
  Start({"--workers=" + worker_->address() + "," + second->address()});
  ASSERT_TRUE(AwaitMetric("sluice_gateway_worker_groups_ready 2"));
  worker_->SetScript(FullFor("700"));
  second->SetScript(FullFor("2500"));
  // Each request begins with the other group.
  for (const bool stream : {false, true, false, true}) {
    const auto reply = Chat(ChatBody(stream));
    EXPECT_EQ(reply.status, 429);
    EXPECT_EQ(reply.headers.at("retry-after"), "1");
    EXPECT_EQ(reply.headers.at("retry-after-ms"), "700");
  }
  EXPECT_EQ(worker_->requests().size(), 4u);
  EXPECT_EQ(second->requests().size(), 4u);
  // Room in either is enough.
  second->SetScript(Say("room"));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Chat(ChatBody()).status, 200);
}

TEST_F(GatewayFailureTest, NoWorkerIs503AtOnce) {
  Start();
  worker_->Kill();
  // The first call may find the break itself; from then on the gateway knows.
  for (int i = 0; i < 2; ++i) {
    const auto reply = Chat(ChatBody());
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.headers.count("retry-after"), 1u);
  }
  EXPECT_EQ(HttpGet(http_port(), "/readyz")->status, 503);
  EXPECT_EQ(HttpGet(http_port(), "/health")->status, 503);
  EXPECT_EQ(HttpGet(http_port(), "/livez")->status, 200);
  EXPECT_EQ(HttpGet(http_port(), "/v1/models")->status, 503);
  // Back on the same port: served again without a restart.
  const int port = worker_->port();
  worker_.reset();
  worker_ = MakeWorker(port);
  worker_->SetScript(Say("back"));
  ASSERT_TRUE(gateway_->AwaitReady());
  EXPECT_EQ(Chat(ChatBody()).status, 200);
}

TEST_F(GatewayFailureTest, WorkerOfAnotherTokenizerIsNotUsed) {
  pb::ModelInfo info;
  info.set_tokenizer_sha256("0123");
  info.set_max_model_len(100);
  FakeWorker other(info);
  worker_ = MakeWorker();
  Start({});
  GatewayProcess gateway(
      {"--model=" + sluice::testing::Qwen3Dir(), "--workers=" + other.address()});
  ASSERT_TRUE(gateway.listening()) << gateway.Log();
  sluice::testing::HttpReply reply;
  do {  // until the first probe has come back
    reply = *HttpGet(gateway.port("http"), "/readyz");
    ASSERT_EQ(reply.status, 503);
  } while (reply.body.find("has not answered") != std::string::npos);
  EXPECT_THAT(reply.body, HasSubstr("sha256 0123"));
  EXPECT_THAT(gateway.Log(), HasSubstr("worker group is refused"));
}

TEST_F(GatewayFailureTest, DrainFinishesWhatRunsAndRefusesTheRest) {
  Start();
  std::mutex mu;
  std::condition_variable changed;
  bool go_on = false;
  worker_->SetScript([&](FakeWorker::Generation& generation) {
    generation.Write(Encode("go"));
    {
      std::unique_lock<std::mutex> lock(mu);
      changed.wait_for(lock, std::chrono::seconds(60), [&] { return go_on; });
    }
    return Say(" on")(generation);
  });
  HttpClient client(http_port());
  ASSERT_TRUE(client.Post(kChat, ChatBody(true).dump()));
  ASSERT_TRUE(client.WaitFor("\"content\":\"go\""));
  gateway_->Signal(SIGTERM);
  while (HttpGet(http_port(), "/readyz")->status != 503) {
  }
  EXPECT_EQ(Chat(ChatBody()).status, 503);
  EXPECT_EQ(HttpGet(http_port(), "/livez")->status, 200);
  {
    std::lock_guard<std::mutex> lock(mu);
    go_on = true;
    changed.notify_all();
  }
  EXPECT_TRUE(client.WaitFor("\"content\":\" on\""));
  EXPECT_TRUE(client.WaitFor("data: [DONE]\n\n"));
  EXPECT_EQ(gateway_->AwaitExit(), 0) << gateway_->Log();
}

TEST_F(GatewayFailureTest, DrainTimeoutTellsWhatIsLeft) {
  Start({"--drain-timeout=0"});
  worker_->SetScript(SayGoAndHold());
  HttpClient client(http_port());
  ASSERT_TRUE(client.Post(kChat, ChatBody(true).dump()));
  ASSERT_TRUE(client.WaitFor("\"content\":\"go\""));
  gateway_->Signal(SIGTERM);
  EXPECT_TRUE(client.WaitFor("shutting down"));
  EXPECT_EQ(gateway_->AwaitExit(), 0) << gateway_->Log();
  EXPECT_TRUE(worker_->AwaitIdle());
}

TEST_F(GatewayFailureTest, IdleGatewayStopsAtOnce) {
  Start();
  HttpClient idle(http_port());
  ASSERT_TRUE(idle.Get("/livez"));
  ASSERT_TRUE(idle.Read());
  gateway_->Signal(SIGINT);
  EXPECT_EQ(gateway_->AwaitExit(), 0);
  EXPECT_TRUE(idle.AtEnd());
}

}  // namespace
}  // namespace sluice::gateway
