// SPDX-License-Identifier: Apache-2.0
// The driver and the HTTP target against a scripted server on a real socket.
#include "gateway/cli/bench/load_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "gateway/cli/bench/http_target.h"
#include "gateway/cli/bench/measurement.h"
#include "tests/support/stream_server.h"

namespace sluice::gateway {
namespace {

using sluice::testing::StreamAnswer;
using sluice::testing::StreamServer;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

std::shared_ptr<const std::vector<std::string>> Events(std::vector<std::string> events) {
  return std::make_shared<const std::vector<std::string>>(std::move(events));
}

// `tokens` chunks as vLLM writes them, usage and [DONE].
StreamAnswer Good(int tokens, microseconds interval = microseconds(0)) {
  std::vector<std::string> events = {
      R"({"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]})"};
  for (int i = 0; i < tokens; ++i) {
    events.push_back(R"({"choices":[{"delta":{"content":"x"},"finish_reason":null}]})");
  }
  events.push_back(R"({"choices":[{"delta":{"content":""},"finish_reason":"length"}]})");
  events.push_back(R"({"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":)" +
                   std::to_string(tokens) + "}}");
  events.push_back("[DONE]");
  StreamAnswer answer;
  answer.events = Events(std::move(events));
  answer.interval = interval;
  return answer;
}

StreamAnswer Stream(std::vector<std::string> events) {
  StreamAnswer answer;
  answer.events = Events(std::move(events));
  return answer;
}

StreamAnswer Refusal(int status, const std::string& headers, const std::string& body) {
  StreamAnswer answer;
  answer.status = status;
  answer.headers = headers;
  answer.body = body;
  return answer;
}

LoadPlan Plan(uint64_t num_requests, int concurrency) {
  LoadPlan plan;
  plan.make_request = [](uint64_t index) {
    LoadRequest request;
    request.prompt = "question " + std::to_string(index);
    request.max_tokens = 4;
    return request;
  };
  plan.num_requests = num_requests;
  plan.concurrency = concurrency;
  return plan;
}

std::unique_ptr<HttpTarget> TargetOf(const StreamServer& server, GenerationSettings settings = {}) {
  settings.model = "m";
  return *HttpTarget::Create(*ParseHttpUrl(server.url()), HttpEndpoint::kChat, settings);
}

bool Go(const LoadProgress&) { return true; }

LoadRun RunOn(const StreamServer& server, LoadPlan plan, LoadDriver::Watcher watcher = Go) {
  const auto target = TargetOf(server);
  return LoadDriver(target.get(), std::move(plan), std::move(watcher)).Run();
}

// How a single request of this answer ends.
RequestRecord EndingOf(const StreamAnswer& answer, LoadPlan plan = Plan(1, 1)) {
  StreamServer server([&](uint64_t, const std::string&, const std::string&) { return answer; });
  return RunOn(server, std::move(plan)).records.at(0);
}

TEST(HttpTargetTest, SaysNothingThatOnlySluiceKnows) {
  StreamServer server([](uint64_t, const std::string&, const std::string&) { return Good(1); });
  LoadRequest request;
  request.prompt = "a \"b\"";
  request.max_tokens = 7;
  EXPECT_EQ(
      nlohmann::json::parse(TargetOf(server)->Body(request)),
      nlohmann::json::parse(R"({"model":"m","stream":true,"stream_options":{"include_usage":true},)"
                            R"("messages":[{"role":"user","content":"a \"b\""}],"max_tokens":7})"));
  GenerationSettings settings;
  settings.ignore_eos = settings.continuous_usage = true;
  settings.temperature = 0.5;
  settings.sampling_seed = 3;
  settings.extra_body = R"({"chat_template_kwargs":{"enable_thinking":false},"temperature":1})";
  request.messages = {{"system", "s"}, {"user", "u"}};
  EXPECT_EQ(nlohmann::json::parse(TargetOf(server, settings)->Body(request)),
            nlohmann::json::parse(
                R"({"model":"m","stream":true,"stream_options":{"include_usage":true,)"
                R"("continuous_usage_stats":true},"temperature":1,"seed":3,"ignore_eos":true,)"
                R"("chat_template_kwargs":{"enable_thinking":false},"max_tokens":7,)"
                R"("messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]})"));
  settings.extra_body = "[1]";
  EXPECT_FALSE(HttpTarget::Create(*ParseHttpUrl(server.url()), HttpEndpoint::kChat, settings).ok());
}

TEST(HttpTargetTest, AFinishedAnswerIsReadWhole) {
  const RequestRecord record = EndingOf(Good(4));
  EXPECT_EQ(record.ending, Ending::kFinished);
  EXPECT_EQ(record.chunks, 4);  // those with text
  EXPECT_EQ(record.gaps.size(), 3u);
  EXPECT_EQ(record.usage.prompt_tokens, 11);
  EXPECT_EQ(record.usage.completion_tokens, 4);
  EXPECT_EQ(record.finish_reason, "length");
  EXPECT_EQ(record.asked_output_tokens, 4);
  EXPECT_LE(record.sent, record.first_text);
  EXPECT_LE(record.first_text, record.last_text);
  EXPECT_LE(record.last_text, record.ended);
}

TEST(HttpTargetTest, TokensOfEachChunkComeFromContinuousUsage) {
  const RequestRecord record = EndingOf(Stream(
      {R"({"choices":[{"delta":{"content":"x"}}],"usage":{"completion_tokens":1}})",
       R"({"choices":[{"delta":{"content":"xyz"}}],"usage":{"completion_tokens":4}})",
       R"({"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":5}})",
       "[DONE]"}));
  ASSERT_EQ(record.gaps.size(), 1u);
  EXPECT_EQ(record.gaps[0].tokens, 3);
  EXPECT_EQ(record.usage.completion_tokens, 5);
}

TEST(HttpTargetTest, RefusalsKeepTheirRetryAfter) {
  const RequestRecord record =
      EndingOf(Refusal(429, "Retry-After: 2\r\n", R"({"error":{"message":"the queue is full"}})"));
  EXPECT_EQ(record.ending, Ending::kRefused);
  EXPECT_EQ(record.retry_after_s, 2);
  EXPECT_EQ(record.error_detail, "the queue is full");
  EXPECT_FALSE(EndingOf(Refusal(429, "", "")).retry_after_s.has_value());
}

TEST(HttpTargetTest, FailuresHaveKinds) {
  const auto fails = [](const StreamAnswer& answer, const char* kind, const char* detail) {
    const RequestRecord record = EndingOf(answer);
    EXPECT_EQ(record.ending, Ending::kFailed) << kind;
    EXPECT_EQ(record.error_kind, kind);
    EXPECT_THAT(record.error_detail, HasSubstr(detail));
  };
  fails(Refusal(400, "", R"({"error":{"message":"too long"}})"), "http_400", "too long");
  fails(Refusal(503, "Retry-After: 1\r\n", "busy"), "http_503", "busy");
  fails(Stream({R"({"choices":[{"delta":{"content":"x"}}]})", R"({"error":{"message":"died"}})"}),
        "stream_error", "died");
  fails(Stream({"{\"choices\":"}), "stream_error", "no JSON");
  fails(Stream({R"({"choices":[{"delta":{"content":"x"}}]})"}), "cut_off", "finish reason");
  StreamAnswer cut_off = Good(3);
  cut_off.cut_off = true;
  fails(cut_off, "cut_off", "lost the connection");
}

TEST(HttpTargetTest, AnAnswerWithoutDoneIsWholeWhenItSaysWhyItEnded) {
  EXPECT_EQ(EndingOf(Stream({R"({"choices":[{"text":"x","finish_reason":"stop"}]})"})).ending,
            Ending::kFinished);
}

TEST(HttpTargetTest, NobodyListening) {
  std::string url;
  {
    StreamServer server([](uint64_t, const std::string&, const std::string&) { return Good(1); });
    url = server.url();
  }
  const auto target = *HttpTarget::Create(*ParseHttpUrl(url), HttpEndpoint::kChat, {});
  const LoadRun run = LoadDriver(target.get(), Plan(3, 1), Go).Run();
  EXPECT_EQ(run.totals.failed, 3u);
  EXPECT_EQ(run.records[0].error_kind, "connection");
}

TEST(LoadDriverTest, AClosedLoopKeepsItsNumberRunning) {
  StreamServer server(
      [](uint64_t, const std::string&, const std::string&) { return Good(3, microseconds(500)); });
  const LoadRun run = RunOn(server, Plan(60, 8));
  EXPECT_EQ(run.totals.finished, 60u);
  EXPECT_EQ(run.totals.peak_running, 8);
  EXPECT_EQ(server.connections(), 8);  // used again
  EXPECT_GT(Measure(run, {}).mean_concurrency, 6);
  EXPECT_FALSE(run.interrupted);
}

TEST(LoadDriverTest, ManyStreamsAtOnce) {
  StreamServer server(
      [](uint64_t, const std::string&, const std::string&) { return Good(20, milliseconds(2)); });
  const LoadRun run = RunOn(server, Plan(600, 300));
  EXPECT_EQ(run.totals.finished, 600u);
  EXPECT_EQ(run.totals.chunks, 600u * 20u);
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.total_output_tokens, 600 * 20);
  EXPECT_EQ(measured.itl_basis.one_token_per_chunk, 600);
}

// No chunk is noted before the server sent it, by the server's own clock.
TEST(LoadDriverTest, TimesAreTheServers) {
  StreamServer server(
      [](uint64_t, const std::string&, const std::string&) { return Good(10, milliseconds(3)); });
  const LoadRun run = RunOn(server, Plan(1, 1));
  const RequestRecord& record = run.records[0];
  const auto sent = server.send_times(0);
  ASSERT_EQ(record.chunks, 10);
  BenchClock::time_point seen = record.first_text;
  for (size_t i = 0; i < 10; ++i) {
    if (i > 0) seen += std::chrono::nanoseconds(std::llround(1e9 * record.gaps[i - 1].seconds));
    EXPECT_GE(seen + microseconds(1), sent[i + 1]) << i;  // the first event carries no text
  }
  EXPECT_LE(record.sent, sent[0]);
}

TEST(LoadDriverTest, AnOpenLoopDoesNotWaitForAnswers) {
  StreamServer server([](uint64_t, const std::string&, const std::string&) {
    StreamAnswer answer;
    answer.hang = true;
    return answer;
  });
  LoadPlan plan = Plan(50, 1);
  plan.requests_per_second = 2000;
  plan.request_timeout = milliseconds(300);
  const LoadRun run = RunOn(server, std::move(plan));
  EXPECT_EQ(run.totals.peak_running, 50);
  EXPECT_EQ(run.totals.failed, 50u);
  for (const RequestRecord& record : run.records) {
    EXPECT_EQ(record.error_kind, "timeout");
    EXPECT_GE(record.sent, record.due);
  }
}

TEST(LoadDriverTest, AnInfiniteRateSendsAllAtOnce) {
  StreamServer server([](uint64_t, const std::string&, const std::string&) { return Good(2); });
  LoadPlan plan = Plan(40, 1);
  plan.requests_per_second = std::numeric_limits<double>::infinity();
  const LoadRun run = RunOn(server, std::move(plan));
  EXPECT_EQ(run.totals.finished, 40u);
  EXPECT_EQ(run.totals.peak_running, 40);
}

TEST(LoadDriverTest, NothingIsSentAfterTheDuration) {
  StreamServer server(
      [](uint64_t, const std::string&, const std::string&) { return Good(2, milliseconds(5)); });
  LoadPlan plan = Plan(1, 4);
  plan.num_requests.reset();
  plan.duration = milliseconds(100);
  const LoadRun closed = RunOn(server, plan);
  EXPECT_GE(closed.totals.finished, 4u);
  EXPECT_EQ(closed.totals.finished, closed.records.size());
  for (const RequestRecord& record : closed.records) {
    EXPECT_LT(record.due - closed.records[0].due, milliseconds(100));
  }
  plan.requests_per_second = 200;
  const LoadRun open = RunOn(server, plan);
  EXPECT_EQ(open.totals.finished, open.records.size());
  for (const RequestRecord& record : open.records) {
    EXPECT_LT(record.due - open.records[0].due, milliseconds(100));
  }
}

TEST(LoadDriverTest, RefusalsAreCountedApart) {
  StreamServer server([](uint64_t number, const std::string&, const std::string&) {
    return number % 3 == 2 ? Refusal(429, "Retry-After: 0\r\n", "{}") : Good(2);
  });
  const LoadRun run = RunOn(server, Plan(30, 2));
  EXPECT_EQ(run.totals.finished, 20u);
  EXPECT_EQ(run.totals.refused, 10u);
  EXPECT_EQ(run.totals.failed, 0u);
  EXPECT_EQ(Measure(run, {}).retry_after_s.count, 10);
}

TEST(LoadDriverTest, ARefusedClientWaitsAsLongAsItIsTold) {
  StreamServer server([](uint64_t number, const std::string&, const std::string&) {
    return number == 0 ? Refusal(429, "Retry-After: 0.2\r\n", "{}") : Good(2);
  });
  const LoadRun run = RunOn(server, Plan(3, 1));
  EXPECT_EQ(run.totals.refused, 1u);
  EXPECT_EQ(run.totals.finished, 2u);
  EXPECT_GE(run.records[1].sent - run.records[0].ended, milliseconds(200));
  // An open loop does not: its requests are of other clients.
  LoadPlan plan = Plan(3, 1);
  plan.requests_per_second = std::numeric_limits<double>::infinity();
  for (const RequestRecord& record : RunOn(server, std::move(plan)).records) {
    EXPECT_GE(record.sent, record.due);
    EXPECT_LT(record.due - run.records[0].due, std::chrono::hours(1));
  }
}

TEST(LoadDriverTest, AnInterruptKeepsWhatWasMeasured) {
  StreamServer server([](uint64_t number, const std::string&, const std::string&) {
    StreamAnswer endless = Good(1);
    endless.hang = true;
    return number < 10 ? Good(2) : endless;
  });
  const LoadRun run = RunOn(server, Plan(30, 4), [](const LoadProgress& progress) {
    return progress.finished < 10 || progress.running < 4;
  });
  EXPECT_TRUE(run.interrupted);
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.finished, 10);
  EXPECT_EQ(measured.interrupted, 4);
  EXPECT_EQ(measured.failed, 0);
}

}  // namespace
}  // namespace sluice::gateway
