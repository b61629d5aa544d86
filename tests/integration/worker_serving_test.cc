// SPDX-License-Identifier: Apache-2.0
// Real ranks over real gRPC: the same ids whatever the number of ranks and whoever else is in the
// batch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <thread>

#include "proto/wire/retry_after.h"
#include "tests/integration/tiny_checkpoint.h"
#include "tests/integration/worker_process.h"

namespace sluice::integration {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> Arguments(int tp_size, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--model=" + TinyCheckpoint(),
                                        "--device=cpu", "--tp-size=" + std::to_string(tp_size)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(WorkerServingTest, GreedyIdsAreEqualAtOneTwoAndFourRanks) {
  std::map<int, std::vector<std::vector<int>>> answers;
  for (const int tp_size : {1, 2, 4}) {
    WorkerProcess worker(Arguments(tp_size));
    ASSERT_TRUE(worker.WaitServing());
    EXPECT_EQ(worker.RankPids().size(), static_cast<size_t>(tp_size));
    for (int i = 0; i < 6; ++i) {
      const Answer answer =
          worker.Generate(GreedyRequest("r" + std::to_string(i), Prompt(i, 1 + 60 * i), 64));
      EXPECT_TRUE(answer.status.ok()) << answer.status;
      EXPECT_EQ(answer.ids.size(), 64u);
      EXPECT_EQ(answer.finish, v1::FINISH_REASON_LENGTH);
      EXPECT_EQ(answer.usage.completion_tokens(), 64u);
      EXPECT_EQ(answer.usage.prompt_tokens(), static_cast<uint32_t>(1 + 60 * i));
      answers[tp_size].push_back(answer.ids);
    }
  }
  EXPECT_EQ(answers[1], answers[2]);
  EXPECT_EQ(answers[1], answers[4]);
  EXPECT_NE(answers[1][0], answers[1][1]) << "a model that answers everything alike proves nothing";
}

TEST(WorkerServingTest, ThirtyTwoClientsGetWhatEachGetsAlone) {
  constexpr int kClients = 32;
  WorkerProcess worker(Arguments(2));
  ASSERT_TRUE(worker.WaitServing());
  const auto request = [](const char* round, int client) {
    return GreedyRequest(round + std::to_string(client), Prompt(client, 3 + client * 5), 64);
  };
  std::vector<std::vector<int>> alone;
  for (int client = 0; client < kClients; ++client) {
    alone.push_back(worker.Generate(request("alone", client)).ids);
  }
  std::atomic<int> finished{0};
  double most_running = 0;
  std::thread watcher([&] {
    while (finished < kClients) {
      most_running = std::max(most_running, worker.Metric("sluice_requests_running").value_or(0));
    }
  });
  std::vector<Answer> together(kClients);
  std::vector<std::thread> clients;
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      together[client] = worker.Generate(request("together", client));
      ++finished;
    });
  }
  for (std::thread& client : clients) client.join();
  watcher.join();
  for (int client = 0; client < kClients; ++client) {
    EXPECT_TRUE(together[client].status.ok()) << together[client].status;
    EXPECT_EQ(together[client].ids, alone[client]) << "client " << client;
  }
  EXPECT_GE(most_running, 16) << "batched, not one after the other";
  EXPECT_EQ(worker.Metric("sluice_requests_total{outcome=\"ok\"}"), 2.0 * kClients);
  EXPECT_EQ(worker.Metric("sluice_generation_tokens_total"), 2.0 * kClients * 64);
  EXPECT_TRUE(Eventually([&] { return worker.Metric("sluice_kv_pages_used") == 0.0; }));
}

TEST(WorkerServingTest, PreemptedRequestsLoseNothing) {
  // 64 tokens of context for each of 8 rows would need 8 times the pages there are.
  WorkerProcess worker(
      Arguments(2, {"--max-model-len=512", "--kv-cache-memory=2432KiB", "--max-num-seqs=8"}));
  ASSERT_TRUE(worker.WaitServing());
  constexpr int kClients = 8;
  std::vector<std::vector<int>> alone;
  for (int client = 0; client < kClients; ++client) {
    alone.push_back(
        worker.Generate(GreedyRequest("a" + std::to_string(client), Prompt(client, 50), 200)).ids);
  }
  std::vector<Answer> together(kClients);
  std::vector<std::thread> clients;
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      together[client] =
          worker.Generate(GreedyRequest("t" + std::to_string(client), Prompt(client, 50), 200));
    });
  }
  for (std::thread& client : clients) client.join();
  for (int client = 0; client < kClients; ++client) EXPECT_EQ(together[client].ids, alone[client]);
  EXPECT_GT(worker.Metric("sluice_preemptions_total").value_or(0), 0);
}

TEST(WorkerServingTest, SeededDrawsResumeWhereTheyWere) {
  WorkerProcess worker(Arguments(1));
  ASSERT_TRUE(worker.WaitServing());
  v1::GenerateRequest request = GreedyRequest("whole", Prompt(1, 20), 40);
  request.mutable_sampling()->set_temperature(1.0f);
  request.mutable_sampling()->set_seed(42);
  request.mutable_sampling()->set_presence_penalty(1.5f);
  const Answer whole = worker.Generate(request);
  ASSERT_EQ(whole.ids.size(), 40u);
  request.set_request_id("rest");
  request.mutable_output_ids()->Add(whole.ids.begin(), whole.ids.begin() + 15);
  const Answer rest = worker.Generate(request);
  EXPECT_EQ(rest.ids, std::vector<int>(whole.ids.begin() + 15, whole.ids.end()));
  EXPECT_EQ(rest.usage.completion_tokens(), 40u);
}

TEST(WorkerServingTest, EachChoiceResumesByItself) {
  WorkerProcess worker(Arguments(2));
  ASSERT_TRUE(worker.WaitServing());
  v1::GenerateRequest request = GreedyRequest("whole", Prompt(1, 20), 30);
  request.set_n(3);
  request.mutable_sampling()->set_temperature(1.0f);
  request.mutable_sampling()->set_seed(42);
  request.mutable_sampling()->set_frequency_penalty(0.5f);
  const auto whole = worker.Generate(request).choices;
  ASSERT_EQ(whole.size(), 3u);
  EXPECT_NE(whole.at(0), whole.at(1));
  EXPECT_NE(whole.at(1), whole.at(2));
  request.set_n(1);
  for (uint32_t choice = 0; choice < 3; ++choice) {
    const std::vector<int>& ids = whole.at(choice);
    const auto kept = static_cast<std::ptrdiff_t>(7 * choice);
    request.set_request_id("rest" + std::to_string(choice));
    request.set_first_choice(choice);
    request.clear_output_ids();
    request.mutable_output_ids()->Add(ids.begin(), ids.begin() + kept);
    const Answer rest = worker.Generate(request);
    EXPECT_TRUE(rest.status.ok()) << rest.status;
    EXPECT_EQ(rest.choices.at(0), std::vector<int>(ids.begin() + kept, ids.end()));
    EXPECT_EQ(rest.usage.completion_tokens(), 30u);
  }
}

TEST(WorkerServingTest, CancelledCallFreesItsPages) {
  WorkerProcess worker(Arguments(2));
  ASSERT_TRUE(worker.WaitServing());
  const auto stub = worker.NewStub();
  grpc::ClientContext context;
  const auto stream = stub->Generate(&context, GreedyRequest("long", Prompt(1, 200), 0));
  v1::GenerateResponse message;
  ASSERT_TRUE(stream->Read(&message));
  EXPECT_TRUE(Eventually([&] { return worker.Metric("sluice_kv_pages_used").value_or(0) > 0; }));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return worker.Metric("sluice_kv_pages_used") == 0.0; }));
  EXPECT_EQ(worker.Metric("sluice_requests_total{outcome=\"cancelled\"}"), 1.0);
}

TEST(WorkerServingTest, StopStringEndsWithItsOwnCount) {
  WorkerProcess worker(Arguments(1));
  ASSERT_TRUE(worker.WaitServing());
  const auto stub = worker.NewStub();
  grpc::ClientContext context;
  const auto stream = stub->Generate(&context, GreedyRequest("stopped", Prompt(1, 20), 0));
  v1::GenerateResponse message;
  int ids = 0;
  while (ids < 5 && stream->Read(&message)) ids += message.ids_size();
  v1::CancelRequest cancel;
  cancel.set_request_id("stopped");
  cancel.set_choice(0);
  cancel.set_reason(v1::CancelRequest::REASON_STOP_STRING);
  cancel.set_completion_tokens(4);
  grpc::ClientContext cancel_context;
  v1::CancelResponse response;
  EXPECT_TRUE(stub->Cancel(&cancel_context, cancel, &response).ok());
  while (stream->Read(&message)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(message.finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(message.usage().completion_tokens(), 4u);
}

TEST(WorkerServingTest, BadRequestsNameTheField) {
  WorkerProcess worker(Arguments(1));
  ASSERT_TRUE(worker.WaitServing());
  const Answer padding = worker.Generate(GreedyRequest("padding", {kTinyVocab}, 1));
  EXPECT_EQ(padding.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(padding.status.message()), HasSubstr("prompt_ids: id 259"));
  const Answer longer = worker.Generate(GreedyRequest("long", Prompt(1, 1024), 1));
  EXPECT_THAT(std::string(longer.status.message()), HasSubstr("1024 prompt tokens"));
  EXPECT_THAT(std::string(longer.status.message()), HasSubstr("1024 tokens"));
  v1::GenerateRequest hot = GreedyRequest("hot", {1}, 1);
  hot.mutable_sampling()->set_top_p(-1.0f);
  EXPECT_THAT(std::string(worker.Generate(hot).status.message()), HasSubstr("sampling.top_p"));
  EXPECT_TRUE(worker.Generate(GreedyRequest("good", {1}, 1)).status.ok());
}

TEST(WorkerServingTest, FullQueueIsRefusedWithAWaitingTime) {
  WorkerProcess worker(Arguments(1, {"--max-num-seqs=1", "--max-queued-requests=0"}));
  ASSERT_TRUE(worker.WaitServing());
  const auto stub = worker.NewStub();
  grpc::ClientContext context;
  const auto stream = stub->Generate(&context, GreedyRequest("first", Prompt(1, 20), 0));
  v1::GenerateResponse message;
  ASSERT_TRUE(stream->Read(&message));
  const Answer second = worker.Generate(GreedyRequest("second", {1}, 1));
  EXPECT_EQ(second.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(wire::RetryAfter(second.status).has_value());
  context.TryCancel();
  stream->Finish();
}

TEST(WorkerServingTest, AutoTakesTheCpuWithoutAGpu) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  WorkerProcess worker(Arguments(2, {"--device=auto"}));
  unsetenv("CUDA_VISIBLE_DEVICES");
  ASSERT_TRUE(worker.WaitServing());
  const auto stub = worker.NewStub();
  grpc::ClientContext context;
  v1::ModelInfo info;
  ASSERT_TRUE(stub->GetModelInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.device(), "cpu");
  EXPECT_EQ(info.max_num_seqs(), 64u);
  EXPECT_GT(info.num_pages(), 1u);
  EXPECT_TRUE(worker.Generate(GreedyRequest("r", Prompt(1, 5), 8)).status.ok());
}

TEST(WorkerServingTest, SaysWhatItServes) {
  WorkerProcess worker(Arguments(2, {"--served-model-name=tiny"}));
  ASSERT_TRUE(worker.WaitServing());
  const auto stub = worker.NewStub();
  grpc::ClientContext context;
  v1::ModelInfo info;
  ASSERT_TRUE(stub->GetModelInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.model(), "tiny");
  EXPECT_EQ(info.max_model_len(), 1024u);
  EXPECT_EQ(info.vocab_size(), static_cast<uint32_t>(kTinyVocab));
  EXPECT_EQ(info.tp_size(), 2u);
  EXPECT_EQ(info.device(), "cpu");
  EXPECT_EQ(info.eos_ids(0), kTinyEndOfTurn);
  EXPECT_EQ(info.tokenizer_sha256().size(), 64u);
  EXPECT_FLOAT_EQ(info.sampling_defaults().temperature(), 0.6f);
}

}  // namespace
}  // namespace sluice::integration
