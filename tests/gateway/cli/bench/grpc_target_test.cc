// SPDX-License-Identifier: Apache-2.0
// The gRPC target against a scripted sluice.v1.Inference on a real socket.
#include "gateway/cli/bench/grpc_target.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gateway/cli/bench/load_driver.h"
#include "gateway/cli/bench/measurement.h"
#include "proto/wire/metadata.h"
#include "sluice/v1/inference.grpc.pb.h"

namespace sluice::gateway {
namespace {

namespace v1 = ::sluice::v1;
using ::testing::HasSubstr;

class ScriptedInference final : public v1::Inference::Service {
 public:
  using Script =
      std::function<grpc::Status(grpc::ServerContext*, grpc::ServerWriter<v1::ChatResponse>*)>;
  explicit ScriptedInference(Script script) : script_(std::move(script)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedInference() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::vector<v1::ChatRequest> requests() {
    std::lock_guard<std::mutex> lock(mu_);
    return requests_;
  }

  grpc::Status Chat(grpc::ServerContext* context, const v1::ChatRequest* request,
                    grpc::ServerWriter<v1::ChatResponse>* writer) override {
    {
      std::lock_guard<std::mutex> lock(mu_);
      requests_.push_back(*request);
    }
    return script_(context, writer);
  }

 private:
  const Script script_;
  int port_ = 0;
  std::mutex mu_;
  std::vector<v1::ChatRequest> requests_;  // guarded by mu_
  std::unique_ptr<grpc::Server> server_;
};

// Thinking, then content, then the end with usage.
grpc::Status SayFour(grpc::ServerContext*, grpc::ServerWriter<v1::ChatResponse>* writer) {
  for (int i = 0; i < 4; ++i) {
    v1::ChatResponse piece;
    if (i < 2) piece.set_reasoning_content("hm");
    if (i >= 2) piece.set_content("x");
    writer->Write(piece);
  }
  v1::ChatResponse last;
  last.set_finish_reason("length");
  last.mutable_usage()->set_prompt_tokens(9);
  last.mutable_usage()->set_completion_tokens(4);
  last.mutable_usage()->set_cached_tokens(5);
  last.mutable_usage()->set_reasoning_tokens(2);
  writer->Write(last);
  return grpc::Status::OK;
}

LoadPlan Plan(uint64_t num_requests, int concurrency) {
  LoadPlan plan;
  plan.make_request = [](uint64_t) {
    LoadRequest request;
    request.prompt = "hello";
    request.max_tokens = 4;
    return request;
  };
  plan.num_requests = num_requests;
  plan.concurrency = concurrency;
  return plan;
}

LoadRun RunOn(const ScriptedInference& server, LoadPlan plan, GenerationSettings settings = {}) {
  GrpcTarget target(server.address(), settings);
  return LoadDriver(&target, std::move(plan), [](const LoadProgress&) { return true; }).Run();
}

TEST(GrpcTargetTest, ReadsAnswersAndSendsSettings) {
  ScriptedInference server(SayFour);
  GenerationSettings settings;
  settings.model = "m";
  settings.ignore_eos = true;
  settings.temperature = 0.5;
  settings.sampling_seed = 8;
  const LoadRun run = RunOn(server, Plan(20, 4), settings);
  EXPECT_EQ(run.totals.finished, 20u);
  EXPECT_EQ(run.totals.peak_running, 4);
  const RequestRecord& record = run.records[7];
  EXPECT_EQ(record.chunks, 4);
  EXPECT_EQ(record.usage.prompt_tokens, 9);
  EXPECT_EQ(record.usage.completion_tokens, 4);
  EXPECT_EQ(record.usage.cached_tokens, 5);
  EXPECT_EQ(record.usage.reasoning_tokens, 2);
  EXPECT_EQ(record.finish_reason, "length");
  const v1::ChatRequest request = server.requests().at(0);
  EXPECT_EQ(request.model(), "m");
  EXPECT_EQ(request.messages(0).role(), "user");
  EXPECT_EQ(request.messages(0).content(), "hello");
  EXPECT_EQ(request.max_tokens(), 4u);
  EXPECT_TRUE(request.ignore_eos());
  EXPECT_EQ(request.temperature(), 0.5f);
  EXPECT_EQ(request.seed(), 8u);
}

TEST(GrpcTargetTest, RefusalsKeepTheirRetryAfter) {
  ScriptedInference server([](grpc::ServerContext* context, auto*) {
    context->AddTrailingMetadata(wire::kRetryAfterMetadata, "1500");
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  });
  const RequestRecord record = RunOn(server, Plan(1, 1)).records.at(0);
  EXPECT_EQ(record.ending, Ending::kRefused);
  EXPECT_EQ(record.retry_after_s, 1.5);
  EXPECT_EQ(record.error_detail, "the queue is full");
}

TEST(GrpcTargetTest, FailuresHaveKinds) {
  ScriptedInference broken([](grpc::ServerContext*, auto* writer) {
    v1::ChatResponse piece;
    piece.set_content("x");
    writer->Write(piece);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "a rank died");
  });
  const RequestRecord record = RunOn(broken, Plan(1, 1)).records.at(0);
  EXPECT_EQ(record.ending, Ending::kFailed);
  EXPECT_EQ(record.error_kind, "grpc_UNAVAILABLE");
  EXPECT_THAT(record.error_detail, HasSubstr("a rank died"));
  EXPECT_EQ(record.chunks, 1);
  ScriptedInference silent([](auto*, auto*) { return grpc::Status::OK; });
  EXPECT_EQ(RunOn(silent, Plan(1, 1)).records.at(0).error_kind, "cut_off");
  GrpcTarget nobody("127.0.0.1:1", {});
  const LoadRun run =
      LoadDriver(&nobody, Plan(2, 1), [](const LoadProgress&) { return true; }).Run();
  EXPECT_EQ(run.records[0].error_kind, "grpc_UNAVAILABLE");
}

grpc::Status WaitForCancel(grpc::ServerContext* context, grpc::ServerWriter<v1::ChatResponse>*) {
  while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return grpc::Status::CANCELLED;
}

TEST(GrpcTargetTest, TheKeyIsABearerToken) {
  std::string seen;
  ScriptedInference server([&seen](grpc::ServerContext* context, auto* writer) {
    const auto it = context->client_metadata().find("authorization");
    if (it != context->client_metadata().end()) seen = {it->second.data(), it->second.size()};
    return SayFour(context, writer);
  });
  GenerationSettings settings;
  settings.api_key = "secret";
  EXPECT_EQ(RunOn(server, Plan(1, 1), settings).totals.finished, 1u);
  EXPECT_EQ(seen, "Bearer secret");
}

TEST(GrpcTargetTest, LateAndInterruptedCallsAreCancelled) {
  ScriptedInference server(WaitForCancel);
  LoadPlan plan = Plan(3, 3);
  plan.request_timeout = std::chrono::milliseconds(50);
  const LoadRun late = RunOn(server, std::move(plan));
  EXPECT_EQ(late.totals.failed, 3u);
  EXPECT_EQ(late.records[0].error_kind, "timeout");
  GrpcTarget target(server.address(), {});
  const LoadRun left =
      LoadDriver(&target, Plan(3, 3), [](const LoadProgress&) { return false; }).Run();
  EXPECT_TRUE(left.interrupted);
  EXPECT_EQ(Measure(left, {}).interrupted, 3);
}

}  // namespace
}  // namespace sluice::gateway
