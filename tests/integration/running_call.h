// SPDX-License-Identifier: Apache-2.0
// What tests of failing groups do: a call that runs while something dies, and the group's recovery.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <vector>

#include "tests/integration/worker_process.h"

namespace sluice::integration {

// A call that is under way: its first ids have arrived.
struct RunningCall {
  // max_tokens 0: as many as the context holds.
  explicit RunningCall(const WorkerProcess& worker, int max_tokens = 0) : stub(worker.NewStub()) {
    // A worker that hangs fails the test instead of hanging it.
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(90));
    stream = stub->Generate(&context, GreedyRequest("running", Prompt(1, 20), max_tokens));
    v1::GenerateResponse message;
    EXPECT_TRUE(stream->Read(&message));
  }
  grpc::Status ReadToTheEnd() {
    v1::GenerateResponse message;
    while (stream->Read(&message)) ids += message.ids_size();
    return stream->Finish();
  }

  std::unique_ptr<v1::Engine::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> stream;
  int ids = 1;
};

// Kills the victim while a call runs: the call ends with UNAVAILABLE, all ranks are replaced, and
// the new group answers as the old one did.
inline void ExpectRecovery(WorkerProcess& worker, pid_t victim) {
  const Answer before = worker.Generate(GreedyRequest("before", Prompt(3, 30), 32));
  RunningCall call(worker);
  const std::vector<pid_t> ranks = worker.RankPids();
  ASSERT_EQ(kill(victim, SIGKILL), 0);
  EXPECT_EQ(call.ReadToTheEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  for (pid_t rank : ranks) EXPECT_TRUE(Eventually([rank] { return IsGone(rank); }));
  ASSERT_TRUE(worker.WaitServing()) << "on the same port";
  const Answer after = worker.Generate(GreedyRequest("after", Prompt(3, 30), 32));
  EXPECT_TRUE(after.status.ok()) << after.status;
  EXPECT_EQ(after.ids, before.ids);
}

}  // namespace sluice::integration
