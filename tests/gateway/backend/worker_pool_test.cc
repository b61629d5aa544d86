// SPDX-License-Identifier: Apache-2.0
// The pool against real gRPC servers: which group gets a call, and what happens when groups fail,
// differ or vanish.
#include "gateway/backend/worker_pool.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire/retry_after.h"
#include "tests/gateway/backend/recording_observer.h"
#include "tests/support/fake_worker.h"
#include "tests/support/local_listener.h"

namespace sluice::gateway {
namespace {

namespace pb = ::sluice::worker::v1;
using sluice::testing::AnswerForever;
using sluice::testing::AnswerWith;
using sluice::testing::FakeWorker;
using sluice::testing::LocalListener;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

pb::ModelInfo Info(int max_model_len = 100, const std::string& sha256 = "abc") {
  pb::ModelInfo info;
  info.set_model("m");
  info.set_tokenizer_sha256(sha256);
  info.set_vocab_size(50);
  info.set_max_model_len(static_cast<uint32_t>(max_model_len));
  info.set_max_num_seqs(8);
  info.set_tp_size(2);
  info.set_device("cpu");
  return info;
}

// The pool's events, which a test waits for instead of the clock.
class Events {
 public:
  void Add(const WorkerGroupEvent& event) {
    std::lock_guard<std::mutex> lock(mu_);
    events_.push_back(event);
    changed_.notify_all();
  }
  // The detail of the nth (from 0) event of that kind and address.
  std::string Await(WorkerGroupEvent::Kind kind, const std::string& address, int nth = 0) {
    std::unique_lock<std::mutex> lock(mu_);
    std::string detail = "the event did not come";
    changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      int seen = 0;
      for (const WorkerGroupEvent& event : events_) {
        if (event.kind == kind && event.address == address && seen++ == nth) {
          detail = event.detail;
          return true;
        }
      }
      return false;
    });
    return detail;
  }
  size_t size() {
    std::lock_guard<std::mutex> lock(mu_);
    return events_.size();
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<WorkerGroupEvent> events_;
};

using Kind = WorkerGroupEvent::Kind;

class WorkerPoolTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& addresses) {
    WorkerPoolOptions options;
    options.addresses.fixed = addresses;
    options.tokenizer_sha256 = "abc";
    options.vocab_size = 50;
    options.probe_period = std::chrono::milliseconds(20);
    options.on_event = [this](const WorkerGroupEvent& event) { events_.Add(event); };
    options.on_readiness = [this](bool ready) { readiness_.push_back(ready); };
    pool_ = std::make_unique<WorkerPool>(std::move(options));
  }
  void AwaitReady(const FakeWorker& worker, int nth = 0) {
    EXPECT_EQ(events_.Await(Kind::kReady, worker.address(), nth),
              "serves m, 100 tokens of context, TP 2 on cpu");
  }
  std::shared_ptr<RecordingObserver> Generate(std::string id = "r") {
    GenerateRequest request;
    request.request_id = std::move(id);
    request.prompt_ids = {1};
    auto observer = std::make_shared<RecordingObserver>();
    calls_.push_back(pool_->Generate(std::move(request), observer));
    return observer;
  }

  Events events_;
  std::vector<bool> readiness_;  // written under the pool's lock
  std::unique_ptr<WorkerPool> pool_;
  std::vector<std::shared_ptr<GenerateCall>> calls_;
};

TEST_F(WorkerPoolTest, NoGroupReadyIsUnavailableAtOnce) {
  // A port that a fake had and gave up.
  std::string address;
  {
    FakeWorker gone(Info());
    address = gone.address();
  }
  Start({address});
  events_.Await(Kind::kAwaited, address);
  const absl::Status status = Generate()->AwaitDone();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
  EXPECT_EQ(pool_->GetModelInfo().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(pool_->stats().ready_groups, 0);
  EXPECT_EQ(pool_->stats().running_calls, 0);
}

TEST_F(WorkerPoolTest, RefusesAGroupWithAnotherTokenizer) {
  FakeWorker other(Info(100, "def"));
  Start({other.address()});
  EXPECT_THAT(events_.Await(Kind::kRefused, other.address()),
              HasSubstr("sha256 def, the gateway's is abc"));
  EXPECT_THAT(std::string(Generate()->AwaitDone().message()), HasSubstr("sha256 def"));
}

TEST_F(WorkerPoolTest, RefusesAGroupWithAnotherVocabularySize) {
  pb::ModelInfo info = Info();
  info.set_vocab_size(51);
  FakeWorker other(info);
  Start({other.address()});
  EXPECT_THAT(events_.Await(Kind::kRefused, other.address()),
              HasSubstr("vocabulary of 51 tokens, the gateway's has 50"));
}

TEST_F(WorkerPoolTest, PromisesWhatEveryGroupCanDo) {
  FakeWorker a(Info(100));
  FakeWorker b(Info(80));
  Start({a.address(), b.address()});
  AwaitReady(a);
  events_.Await(Kind::kReady, b.address());
  const auto info = pool_->GetModelInfo();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->max_model_len, 80);
  EXPECT_EQ(info->max_num_seqs, 16);
}

TEST_F(WorkerPoolTest, SpreadsCallsByLoad) {
  FakeWorker a(Info());
  FakeWorker b(Info());
  a.SetScript(AnswerForever(1));
  b.SetScript(AnswerForever(2));
  Start({a.address(), b.address()});
  AwaitReady(a);
  AwaitReady(b);
  for (int i = 0; i < 6; ++i) Generate(std::to_string(i));
  EXPECT_TRUE(a.AwaitRequests(3));
  EXPECT_TRUE(b.AwaitRequests(3));
  EXPECT_EQ(pool_->stats().running_calls, 6);
  for (const auto& call : calls_) call->Cancel(CancelReason::kDisconnect);
  EXPECT_TRUE(a.AwaitIdle());
  EXPECT_TRUE(b.AwaitIdle());
}

TEST_F(WorkerPoolTest, MovesACallThatWasRefusedBeforeItStarted) {
  FakeWorker full(Info());
  FakeWorker draining(Info());
  FakeWorker good(Info());
  full.SetScript([](FakeWorker::Generation&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full");
  });
  draining.SetScript([](FakeWorker::Generation&) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
  });
  good.SetScript(AnswerWith({7}));
  Start({full.address(), draining.address(), good.address()});
  for (const FakeWorker* worker : {&full, &draining, &good}) AwaitReady(*worker);
  for (int i = 0; i < 6; ++i) {
    const auto observer = Generate();
    EXPECT_TRUE(observer->AwaitDone().ok());
    EXPECT_THAT(observer->ids(), ElementsAre(7));
  }
  EXPECT_GE(pool_->stats().retries, 2);
  EXPECT_THAT(events_.Await(Kind::kEjected, draining.address()), HasSubstr("draining"));
}

TEST_F(WorkerPoolTest, ReportsTheLastRefusalWhenEveryGroupRefuses) {
  FakeWorker full(Info());
  full.SetScript([](FakeWorker::Generation&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full");
  });
  Start({full.address()});
  AwaitReady(full);
  EXPECT_EQ(Generate()->AwaitDone().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(full.requests().size(), 1u);
}

// A caller that waits as told finds room in one of them: the shortest wait counts, and a full group
// says more than one that is away. Whichever is asked first.
TEST_F(WorkerPoolTest, ReportsTheShortestWaitWhenEveryGroupIsFull) {
  FakeWorker a(Info());
  FakeWorker b(Info());
  const auto full_for = [](const char* milliseconds) {
    return [milliseconds](FakeWorker::Generation& generation) {
      generation.context().AddTrailingMetadata("sluice-retry-after-ms", milliseconds);
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full");
    };
  };
  Start({a.address(), b.address()});
  AwaitReady(a);
  AwaitReady(b);
  for (const auto& [soon, late] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    soon->SetScript(full_for("700"));
    late->SetScript(full_for("2500"));
    const absl::Status status = Generate()->AwaitDone();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(wire::RetryAfter(status), std::chrono::milliseconds(700));
  }
  for (const auto& [full, away] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    full->SetScript(full_for("700"));
    away->SetScript([](FakeWorker::Generation&) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
    });
    EXPECT_EQ(Generate()->AwaitDone().code(), absl::StatusCode::kResourceExhausted);
    AwaitReady(*away, 1);
  }
  EXPECT_EQ(a.requests().size(), 4u);
  EXPECT_EQ(b.requests().size(), 4u);
}

TEST_F(WorkerPoolTest, DoesNotRepeatACallThatHasStarted) {
  FakeWorker breaking(Info());
  FakeWorker good(Info());
  breaking.SetScript([](FakeWorker::Generation& generation) {
    generation.Write({1});
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "a rank died");
  });
  good.SetScript(AnswerWith({7}));
  Start({breaking.address(), good.address()});
  AwaitReady(breaking);
  AwaitReady(good);
  // One of two calls goes to each group.
  const auto first = Generate();
  const bool first_ok = first->AwaitDone().ok();
  const auto second = Generate();
  EXPECT_NE(first_ok, second->AwaitDone().ok());
  const auto& broken = first_ok ? second : first;
  EXPECT_THAT(broken->ids(), ElementsAre(1));
  EXPECT_EQ(broken->AwaitDone().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(good.requests().size(), 1u);
}

TEST_F(WorkerPoolTest, LeavesOutAGroupUntilItIsBack) {
  auto worker = std::make_unique<FakeWorker>(Info());
  const std::string address = worker->address();
  const int port = worker->port();
  Start({address});
  AwaitReady(*worker);
  worker->SetServing(false);
  EXPECT_THAT(events_.Await(Kind::kEjected, address), HasSubstr("not serving"));
  EXPECT_EQ(Generate()->AwaitDone().code(), absl::StatusCode::kUnavailable);
  worker->SetServing(true);
  AwaitReady(*worker, 1);
  worker.reset();
  events_.Await(Kind::kEjected, address, 1);
  EXPECT_EQ(pool_->stats().ejections, 2);
  // A new process on the same port.
  FakeWorker restarted(Info(), port);
  restarted.SetScript(AnswerWith({5}));
  AwaitReady(restarted, 2);
  EXPECT_TRUE(Generate()->AwaitDone().ok());
}

TEST_F(WorkerPoolTest, IsReadyAsLongAsOneGroupIs) {
  FakeWorker first(Info());
  FakeWorker second(Info());
  Start({first.address(), second.address()});
  AwaitReady(first);
  AwaitReady(second);
  first.SetServing(false);
  events_.Await(Kind::kEjected, first.address());
  second.SetServing(false);
  events_.Await(Kind::kEjected, second.address());
  EXPECT_FALSE(pool_->GetModelInfo().ok());  // what came before it is told
  EXPECT_THAT(readiness_, ElementsAre(true, false));
  first.SetServing(true);
  AwaitReady(first, 1);
  EXPECT_TRUE(pool_->GetModelInfo().ok());
  EXPECT_THAT(readiness_, ElementsAre(true, false, true));
}

TEST_F(WorkerPoolTest, CancelsReachTheGroupThatRunsTheCall) {
  FakeWorker worker(Info());
  worker.SetScript(AnswerForever(1));
  Start({worker.address()});
  AwaitReady(worker);
  const auto observer = Generate("mine");
  ASSERT_TRUE(observer->AwaitChunks(1));
  calls_[0]->StopChoice(0, 1);
  calls_[0]->Cancel(CancelReason::kDeadline);
  EXPECT_EQ(observer->AwaitDone().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(worker.AwaitCancels(2));
  EXPECT_TRUE(worker.AwaitIdle());
  EXPECT_EQ(pool_->stats().running_calls, 0);
}

TEST_F(WorkerPoolTest, FailRunningEndsCallsWithItsStatus) {
  FakeWorker worker(Info());
  worker.SetScript(AnswerForever(1));
  Start({worker.address()});
  AwaitReady(worker);
  const auto observer = Generate();
  ASSERT_TRUE(observer->AwaitChunks(1));
  pool_->FailRunning(absl::UnavailableError("the gateway is shutting down"));
  EXPECT_EQ(observer->AwaitDone().message(), "the gateway is shutting down");
  EXPECT_TRUE(worker.AwaitIdle());
}

// A probe that comes back after main has ended would log with what is no longer there.
TEST_F(WorkerPoolTest, NothingComesBackOnceItIsGone) {
  FakeWorker worker(Info());
  worker.SetScript(AnswerForever(1));
  auto silent = std::make_unique<LocalListener>();
  Start({worker.address(), silent->address()});
  AwaitReady(worker);
  const auto observer = Generate();
  ASSERT_TRUE(observer->AwaitChunks(1));
  pool_.reset();
  EXPECT_EQ(observer->ends(), 1);
  EXPECT_EQ(observer->AwaitDone().message(), "the gateway is shutting down");
  // The other group's probe, were it still under way, would fail now and be told.
  silent.reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(events_.size(), 1u);
}

}  // namespace
}  // namespace sluice::gateway
