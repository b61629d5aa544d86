// SPDX-License-Identifier: Apache-2.0
// The client against a real gRPC server: what crosses the wire, and how every call ends.
#include "gateway/backend/grpc_worker_client.h"

#include <memory>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire/retry_after.h"
#include "tests/gateway/backend/recording_observer.h"
#include "tests/support/fake_worker.h"

namespace sluice::gateway {
namespace {

namespace pb = ::sluice::worker::v1;
using sluice::testing::AnswerForever;
using sluice::testing::AnswerWith;
using sluice::testing::FakeWorker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

GenerateRequest Request(std::string id = "r1") {
  GenerateRequest request;
  request.request_id = std::move(id);
  request.prompt_ids = {1, 2, 3};
  return request;
}

class GrpcWorkerClientTest : public ::testing::Test {
 protected:
  FakeWorker worker_{pb::ModelInfo()};
  GrpcWorkerClient client_{worker_.address()};
  std::shared_ptr<RecordingObserver> observer_ = std::make_shared<RecordingObserver>();
};

TEST_F(GrpcWorkerClientTest, StreamsIdsAndUsage) {
  worker_.SetScript(AnswerWith({7, 8, 9}));
  client_.Generate(Request(), observer_);
  EXPECT_TRUE(observer_->AwaitDone().ok());
  EXPECT_THAT(observer_->ids(), ElementsAre(7, 8, 9));
  const TokenChunk last = observer_->chunks().back();
  EXPECT_EQ(last.finish, FinishReason::kLength);
  EXPECT_EQ(last.usage.prompt_tokens, 3);
  EXPECT_EQ(last.usage.completion_tokens, 3);
}

TEST_F(GrpcWorkerClientTest, EveryFieldCrossesTheWire) {
  std::string traceparent;
  std::string request_id;
  worker_.SetScript([&](FakeWorker::Generation& generation) {
    traceparent = generation.Metadata("traceparent");
    request_id = generation.Metadata("x-request-id");
    generation.Finish(pb::FINISH_REASON_STOP, 1, 0, {5}, true);
    generation.Finish(pb::FINISH_REASON_STOP, 1, 1, {6});
    return grpc::Status::OK;
  });
  GenerateRequest request = Request("abc");
  request.output_ids = {4};
  request.n = 2;
  request.priority = -3;
  request.cache_salt = "salt";
  request.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  SamplingParams& sampling = request.sampling;
  sampling.temperature = 0.0f;
  sampling.top_k = 20;
  sampling.top_p = 0.9f;
  sampling.min_p = 0.1f;
  sampling.repetition_penalty = 1.1f;
  sampling.presence_penalty = -1.0f;
  sampling.frequency_penalty = 0.5f;
  sampling.logit_bias = {{10, -100.0f}, {11, 5.0f}};
  sampling.allowed_token_ids = {1, 2};
  sampling.banned_token_ids = {3};
  sampling.max_tokens = 64;
  sampling.min_tokens = 2;
  sampling.ignore_eos = true;
  sampling.stop_token_ids = {99};
  sampling.logprobs = 0;
  sampling.seed = 0xFFFFFFFFFFFFFFFFull;
  client_.Generate(std::move(request), observer_);
  ASSERT_TRUE(observer_->AwaitDone().ok());

  const pb::GenerateRequest seen = worker_.requests().at(0);
  EXPECT_EQ(seen.request_id(), "abc");
  EXPECT_EQ(request_id, "abc");
  EXPECT_EQ(traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_THAT(seen.prompt_ids(), ElementsAre(1, 2, 3));
  EXPECT_THAT(seen.output_ids(), ElementsAre(4));
  EXPECT_EQ(seen.n(), 2u);
  EXPECT_EQ(seen.priority(), -3);
  EXPECT_EQ(seen.cache_salt(), "salt");
  const pb::SamplingParams& got = seen.sampling();
  EXPECT_TRUE(got.has_temperature());  // greedy is not "absent"
  EXPECT_EQ(got.temperature(), 0.0f);
  EXPECT_EQ(got.top_k(), 20u);
  EXPECT_EQ(got.top_p(), 0.9f);
  EXPECT_EQ(got.min_p(), 0.1f);
  EXPECT_EQ(got.repetition_penalty(), 1.1f);
  EXPECT_EQ(got.presence_penalty(), -1.0f);
  EXPECT_EQ(got.frequency_penalty(), 0.5f);
  EXPECT_EQ(got.logit_bias().at(10), -100.0f);
  EXPECT_EQ(got.logit_bias().at(11), 5.0f);
  EXPECT_THAT(got.allowed_token_ids(), ElementsAre(1, 2));
  EXPECT_THAT(got.banned_token_ids(), ElementsAre(3));
  EXPECT_EQ(got.max_tokens(), 64u);
  EXPECT_EQ(got.min_tokens(), 2u);
  EXPECT_TRUE(got.ignore_eos());
  EXPECT_THAT(got.stop_token_ids(), ElementsAre(99));
  EXPECT_TRUE(got.has_logprobs());
  EXPECT_EQ(got.seed(), 0xFFFFFFFFFFFFFFFFull);

  const auto chunks = observer_->chunks();
  EXPECT_EQ(chunks[0].stop_id, 5);
  EXPECT_EQ(chunks[0].finish, FinishReason::kStop);
  EXPECT_EQ(chunks[1].choice, 1);
  EXPECT_FALSE(chunks[1].stop_id.has_value());
}

TEST_F(GrpcWorkerClientTest, ReadsLogprobs) {
  worker_.SetScript([](FakeWorker::Generation& generation) {
    pb::GenerateResponse response;
    response.add_ids(5);
    pb::TokenLogprobs& logprobs = *response.add_logprobs();
    logprobs.set_logprob(-0.5f);
    logprobs.add_top_ids(6);
    logprobs.add_top_logprobs(-0.25f);
    generation.Write(response);
    generation.Finish(pb::FINISH_REASON_LENGTH, 1);
    return grpc::Status::OK;
  });
  client_.Generate(Request(), observer_);
  ASSERT_TRUE(observer_->AwaitDone().ok());
  const TokenLogprobs logprobs = observer_->chunks().at(0).logprobs.at(0);
  EXPECT_EQ(logprobs.logprob, -0.5f);
  EXPECT_THAT(logprobs.top_ids, ElementsAre(6));
  EXPECT_THAT(logprobs.top_logprobs, ElementsAre(-0.25f));
}

TEST_F(GrpcWorkerClientTest, ARefusalKeepsItsWaitingTime) {
  worker_.SetScript([](FakeWorker::Generation& generation) {
    generation.context().AddTrailingMetadata("sluice-retry-after-ms", "1500");
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  });
  client_.Generate(Request(), observer_);
  const absl::Status status = observer_->AwaitDone();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "the queue is full");
  EXPECT_EQ(wire::RetryAfter(status), std::chrono::milliseconds(1500));
}

TEST_F(GrpcWorkerClientTest, CancelTellsTheReasonAndEndsTheStream) {
  worker_.SetScript(AnswerForever(3));
  const auto call = client_.Generate(Request("gone"), observer_);
  ASSERT_TRUE(observer_->AwaitChunks(1));
  call->Cancel(CancelReason::kDisconnect);
  EXPECT_EQ(observer_->AwaitDone().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(worker_.AwaitCancels(1));
  EXPECT_EQ(worker_.cancels()[0].request_id(), "gone");
  EXPECT_EQ(worker_.cancels()[0].reason(), pb::CancelRequest::REASON_DISCONNECT);
  EXPECT_FALSE(worker_.cancels()[0].has_choice());
  EXPECT_TRUE(worker_.AwaitIdle());
  call->Cancel(CancelReason::kDeadline);  // harmless after the end
}

TEST_F(GrpcWorkerClientTest, StopChoiceEndsOneChoiceWithItsLastChunk) {
  worker_.SetScript([](FakeWorker::Generation& generation) {
    generation.Write({1}, 0);
    generation.Write({2}, 1);
    if (!generation.AwaitCancel(1)) return grpc::Status(grpc::StatusCode::INTERNAL, "no cancel");
    generation.Finish(pb::FINISH_REASON_STOP, 1, 1);
    generation.Finish(pb::FINISH_REASON_LENGTH, 1, 0);
    return grpc::Status::OK;
  });
  GenerateRequest request = Request();
  request.n = 2;
  const auto call = client_.Generate(std::move(request), observer_);
  ASSERT_TRUE(observer_->AwaitChunks(2));
  call->StopChoice(1, 1);
  EXPECT_TRUE(observer_->AwaitDone().ok());
  const auto cancels = worker_.cancels();
  ASSERT_EQ(cancels.size(), 1u);
  EXPECT_TRUE(cancels[0].has_choice());
  EXPECT_EQ(cancels[0].choice(), 1u);
  EXPECT_EQ(cancels[0].reason(), pb::CancelRequest::REASON_STOP_STRING);
  EXPECT_EQ(cancels[0].completion_tokens(), 1u);
}

TEST_F(GrpcWorkerClientTest, TheDeadlineEndsTheCall) {
  worker_.SetScript(AnswerForever(3));
  GenerateRequest request = Request();
  request.deadline = std::chrono::system_clock::now() + std::chrono::milliseconds(50);
  client_.Generate(std::move(request), observer_);
  EXPECT_EQ(observer_->AwaitDone().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(worker_.AwaitIdle());
}

TEST_F(GrpcWorkerClientTest, AWorkerThatDiesMidStreamIsUnavailable) {
  worker_.SetScript([](FakeWorker::Generation& generation) {
    generation.Write({1});
    generation.AwaitCancel();
    return grpc::Status::CANCELLED;
  });
  client_.Generate(Request(), observer_);
  ASSERT_TRUE(observer_->AwaitChunks(1));
  worker_.Kill();
  const absl::StatusCode code = observer_->AwaitDone().code();
  // gRPC's orderly shutdown says CANCELLED where a killed process says UNAVAILABLE.
  EXPECT_TRUE(code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kCancelled);
}

TEST_F(GrpcWorkerClientTest, AWorkerThatBreaksTheContractIsInternal) {
  worker_.SetScript([](FakeWorker::Generation& generation) {
    generation.Write({1});
    return grpc::Status::OK;  // no finish reason
  });
  client_.Generate(Request(), observer_);
  absl::Status status = observer_->AwaitDone();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1 of 1 choices unfinished"));

  worker_.SetScript([](FakeWorker::Generation& generation) {
    generation.Write({1}, 4);
    generation.AwaitCancel();
    return grpc::Status::CANCELLED;
  });
  auto second = std::make_shared<RecordingObserver>();
  client_.Generate(Request(), second);
  status = second->AwaitDone();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("choice 4"));
  EXPECT_TRUE(second->chunks().empty());
}

}  // namespace
}  // namespace sluice::gateway
