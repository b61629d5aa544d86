// SPDX-License-Identifier: Apache-2.0
// The Engine service over a real in-process channel and an engine with a fake executor: streams,
// slow readers, clients that go away, refusals.
#include "worker/service/engine_service.h"

#include <grpcpp/grpcpp.h>

#include "proto/wire/retry_after.h"
#include "proto/wire/status.h"
#include "tests/worker/engine/engine_fixture.h"
#include "worker/service/generate_stream.h"

namespace sluice::worker {
namespace {

using ::testing::HasSubstr;

class EngineServiceTest : public EngineFixture {
 protected:
  EngineServiceTest() : service_(Info()) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::Engine::NewStub(server_->InProcessChannel({}));
  }
  ~EngineServiceTest() override {
    executor_.Release();
    server_->Shutdown();
  }

  static v1::ModelInfo Info() {
    v1::ModelInfo info;
    info.set_model("fake");
    return info;
  }

  void Serve(EngineOptions options = Options()) {
    StartEngine(std::move(options));
    service_.SetEngine(engine_.get(), 64);
  }

  static v1::GenerateRequest Request(const std::string& id, std::vector<int> prompt,
                                     int max_tokens) {
    v1::GenerateRequest request;
    request.set_request_id(id);
    request.mutable_prompt_ids()->Add(prompt.begin(), prompt.end());
    request.mutable_sampling()->set_max_tokens(static_cast<uint32_t>(max_tokens));
    return request;
  }

  struct Answer {
    absl::Status status;
    std::vector<TokenId> ids;
    v1::GenerateResponse last;
  };
  Answer Generate(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    const auto stream = stub_->Generate(&context, request);
    Answer answer;
    v1::GenerateResponse message;
    while (stream->Read(&message)) {
      answer.ids.insert(answer.ids.end(), message.ids().begin(), message.ids().end());
      answer.last = message;
    }
    answer.status = wire::FromGrpcStatus(stream->Finish(), context);
    return answer;
  }

  EngineService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Engine::Stub> stub_;
};

TEST_F(EngineServiceTest, UnavailableUntilTheEngineIsThere) {
  EXPECT_EQ(Generate(Request("a", {1}, 1)).status.code(), absl::StatusCode::kUnavailable);
  grpc::ClientContext context;
  v1::ModelInfo info;
  EXPECT_EQ(stub_->GetModelInfo(&context, {}, &info).error_code(), grpc::StatusCode::UNAVAILABLE);
  Serve();
  grpc::ClientContext again;
  EXPECT_TRUE(stub_->GetModelInfo(&again, {}, &info).ok());
  EXPECT_EQ(info.num_pages(), 64u);
  EXPECT_EQ(info.model(), "fake");
  EXPECT_TRUE(Generate(Request("a", {1}, 1)).status.ok());
}

TEST_F(EngineServiceTest, StreamsEveryIdAndTheEnd) {
  Serve();
  const Answer answer = Generate(Request("a", {1, 2}, 100));
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.ids, Continuation({1, 2}, 100));
  EXPECT_EQ(answer.last.finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(answer.last.usage().completion_tokens(), 100u);
}

TEST_F(EngineServiceTest, RefusalsCarryFieldAndWait) {
  EngineOptions options = Options();
  options.scheduler.max_rows = 1;
  options.bounds.max_sequences = 0;
  executor_.HoldAfter(0);
  Serve(options);
  const Answer bad = Generate(Request("bad", {kFakeVocab}, 1));
  EXPECT_EQ(bad.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bad.status.message()), HasSubstr("prompt_ids"));
  const auto first = Submit(EngineFixture::Request("first", {1}, 5));
  const Answer full = Generate(Request("full", {1}, 1));
  EXPECT_EQ(full.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(wire::RetryAfter(full.status).has_value());
}

TEST_F(EngineServiceTest, SlowReaderHoldsUpNobodyAndMissesNothing) {
  EngineOptions options = Options();
  options.scheduler.max_model_len = options.limits.max_model_len = 100'000;
  options.scheduler.num_pages = 4000;
  Serve(options);
  constexpr int kIds = 30'000;  // far beyond what the transport buffers one by one
  grpc::ClientContext context;
  const auto slow = stub_->Generate(&context, Request("slow", {5}, kIds));
  v1::GenerateResponse message;
  ASSERT_TRUE(slow->Read(&message));
  int num_messages = 1;
  std::vector<TokenId> ids(message.ids().begin(), message.ids().end());
  EXPECT_TRUE(Generate(Request("quick", {6}, 50)).status.ok());
  // The slow request itself ends in the engine, unread.
  EXPECT_TRUE(engine_->WaitIdle(std::chrono::minutes(1)));
  while (slow->Read(&message)) {
    ids.insert(ids.end(), message.ids().begin(), message.ids().end());
    ++num_messages;
  }
  EXPECT_TRUE(slow->Finish().ok());
  EXPECT_EQ(ids, Continuation({5}, kIds));
  EXPECT_LT(num_messages, kIds) << "what waited was merged";
}

TEST_F(EngineServiceTest, ReaderThatNeverReadsLosesTheRequest) {
  EngineOptions options = Options();
  options.scheduler.max_model_len = options.limits.max_model_len = 200'000;
  options.scheduler.num_pages = 4000;
  Serve(options);
  grpc::ClientContext context;
  const auto stream = stub_->Generate(&context, Request("stuck", {5}, 0));
  EXPECT_EQ(events_.WaitForDone().status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(events_.WaitForIdle().pages_used, 0);
  v1::GenerateResponse message;
  while (stream->Read(&message)) {
  }
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("reads too slowly"));
}

TEST_F(EngineServiceTest, ClientThatGoesAwayFreesItsPages) {
  Serve();
  executor_.HoldAfter(5);
  grpc::ClientContext context;
  const auto stream = stub_->Generate(&context, Request("gone", {5}, 0));
  v1::GenerateResponse message;
  ASSERT_TRUE(stream->Read(&message));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  executor_.Release();
  EXPECT_EQ(events_.WaitForIdle().pages_used, 0);
  events_.WaitForDone();
}

TEST_F(EngineServiceTest, CallsDeadlineIsTheRequests) {
  executor_.HoldAfter(0);
  // The engine's own clock must agree with gRPC's here.
  const SteadyClock steady;
  engine_ = std::make_unique<Engine>(Options(), executor_, group_, events_, steady);
  engine_->Start();
  service_.SetEngine(engine_.get(), 64);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  const auto stream = stub_->Generate(&context, Request("late", {5}, 0));
  v1::GenerateResponse message;
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  executor_.Release();
  EXPECT_EQ(events_.WaitForDone().status.code(), absl::StatusCode::kDeadlineExceeded);
  server_->Shutdown();
  engine_.reset();
}

TEST_F(EngineServiceTest, CancelNeedsAReasonAndForgivesUnknownNames) {
  Serve();
  v1::CancelRequest cancel;
  cancel.set_request_id("nobody");
  v1::CancelResponse response;
  grpc::ClientContext bad;
  EXPECT_EQ(stub_->Cancel(&bad, cancel, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  cancel.set_reason(v1::CancelRequest::REASON_DISCONNECT);
  grpc::ClientContext good;
  EXPECT_TRUE(stub_->Cancel(&good, cancel, &response).ok());
}

}  // namespace
}  // namespace sluice::worker
