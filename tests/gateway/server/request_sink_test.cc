// SPDX-License-Identifier: Apache-2.0
// The order in which a sink passes on what may happen at once.
#include "gateway/server/request_sink.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::gateway {
namespace {

using ::testing::ElementsAre;

class FakeSession : public Session {
 public:
  void Cancel(CancelReason) override { ++cancels; }
  int prompt_tokens() const override { return 3; }
  std::atomic<int> cancels{0};
};

class CountingMetrics : public RequestMetrics {
 public:
  void OnStart(std::string_view) override { ++started; }
  void OnFirstToken(std::string_view, double) override { ++first_tokens; }
  void OnInterToken(double, int tokens) override { inter_tokens += tokens; }
  void OnEnd(const RequestSummary& summary) override {
    outcomes.emplace_back(summary.outcome);
    completion_tokens += summary.usage.completion_tokens;
  }
  int started = 0;
  int first_tokens = 0;
  int inter_tokens = 0;
  int completion_tokens = 0;
  std::vector<std::string> outcomes;
};

class RecordingSink : public RequestSink {
 public:
  using RequestSink::RequestSink;
  std::vector<std::string> seen;

 protected:
  void Deliver(ChoiceDelta delta, const Session& session) override {
    EXPECT_EQ(session.prompt_tokens(), 3);
    seen.push_back(delta.content);
    if (delta.content == "overflow") ClientGone();
  }
  void DeliverEnd(const absl::Status& status, const ResponseUsage&, const Session&) override {
    seen.push_back("end " + std::string(OutcomeName(status.code())));
  }
};

class RequestSinkTest : public ::testing::Test {
 protected:
  RequestSinkTest() {
    sink_ = std::make_shared<RecordingSink>(
        std::make_unique<RequestTrace>("test", IdentifyRequest("", ""), &metrics_, &running_));
  }
  void Delta(const std::string& content, int completion_tokens = 1) {
    ChoiceDelta delta;
    delta.content = content;
    delta.completion_tokens = completion_tokens;
    sink_->OnDelta(std::move(delta));
  }

  CountingMetrics metrics_;
  std::atomic<int> running_{0};
  std::shared_ptr<FakeSession> session_ = std::make_shared<FakeSession>();
  std::shared_ptr<RecordingSink> sink_;
};

TEST_F(RequestSinkTest, KeepsWhatComesBeforeTheSession) {
  Delta("a");
  Delta("b");
  EXPECT_TRUE(sink_->seen.empty());
  sink_->Attach(session_);
  Delta("c");
  sink_->OnEnd(absl::OkStatus(), {});
  EXPECT_THAT(sink_->seen, ElementsAre("a", "b", "c", "end ok"));
}

TEST_F(RequestSinkTest, KeepsAnEndThatComesBeforeTheSession) {
  Delta("a");
  sink_->OnEnd(absl::UnavailableError("x"), {});
  EXPECT_EQ(running_, 1);
  sink_->Attach(session_);
  EXPECT_THAT(sink_->seen, ElementsAre("a", "end unavailable"));
  EXPECT_EQ(running_, 0);
}

TEST_F(RequestSinkTest, ClientThatLeavesBeforeTheSessionCancelsIt) {
  sink_->ClientGone();
  EXPECT_TRUE(sink_->client_gone());
  sink_->Attach(session_);
  EXPECT_EQ(session_->cancels, 1);
}

TEST_F(RequestSinkTest, ClientThatLeavesCancelsOnce) {
  sink_->Attach(session_);
  sink_->ClientGone();
  sink_->ClientGone();
  EXPECT_EQ(session_->cancels, 1);
}

TEST_F(RequestSinkTest, ClientThatLeavesAfterTheEndCancelsNothing) {
  sink_->Attach(session_);
  sink_->OnEnd(absl::OkStatus(), {});
  sink_->ClientGone();
  EXPECT_EQ(session_->cancels, 0);
  EXPECT_EQ(session_.use_count(), 1);  // and the session is let go of
}

TEST_F(RequestSinkTest, ADeliveryMayFindTheClientGone) {
  sink_->Attach(session_);
  Delta("overflow");
  EXPECT_EQ(session_->cancels, 1);
}

TEST_F(RequestSinkTest, KeepsTheOrderWhileTheSessionAttaches) {
  for (int round = 0; round < 200; ++round) {
    sink_ = std::make_shared<RecordingSink>(
        std::make_unique<RequestTrace>("test", IdentifyRequest("", ""), &metrics_, &running_));
    std::thread worker([this] {
      for (int i = 0; i < 50; ++i) Delta(std::to_string(i), i + 1);
      sink_->OnEnd(absl::OkStatus(), {});
    });
    sink_->Attach(session_);
    worker.join();
    ASSERT_EQ(sink_->seen.size(), 51u);
    for (int i = 0; i < 50; ++i) ASSERT_EQ(sink_->seen[static_cast<size_t>(i)], std::to_string(i));
  }
}

TEST_F(RequestSinkTest, CountsOnce) {
  sink_->Attach(session_);
  Delta("a", 1);
  Delta("bc", 3);
  ResponseUsage usage;
  usage.completion_tokens = 3;
  sink_->OnEnd(absl::OkStatus(), usage);
  sink_.reset();
  EXPECT_EQ(metrics_.started, 1);
  EXPECT_EQ(metrics_.first_tokens, 1);
  EXPECT_EQ(metrics_.inter_tokens, 2);
  EXPECT_EQ(metrics_.completion_tokens, 3);
  EXPECT_THAT(metrics_.outcomes, ElementsAre("ok"));
}

TEST_F(RequestSinkTest, ADroppedRequestEndsAsCancelled) {
  EXPECT_EQ(running_, 1);
  sink_.reset();
  EXPECT_THAT(metrics_.outcomes, ElementsAre("cancelled"));
  EXPECT_EQ(running_, 0);
}

}  // namespace
}  // namespace sluice::gateway
