// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

BenchDescription Description() {
  BenchDescription description;
  description.target = "http://h:1";
  description.endpoint = "chat";
  description.model = "m";
  description.load = "Closed loop, 2 at once";
  description.workload = "random words";
  description.client_cpu_s = 0.5;
  description.client_wall_s = 2;
  description.options = {{"concurrency", "2"}};
  return description;
}

Measurement Sample() {
  Measurement measured;
  measured.sent = 5;
  measured.finished = 2;
  measured.refused = 2;
  measured.failed = 1;
  measured.duration_s = 2;
  measured.ttft_ms = Summarize({100, 200});
  measured.itl_basis.spread = 2;
  measured.total_output_tokens = 40;
  measured.total_prompt_tokens = 20;
  measured.counted_by_usage = 2;
  measured.prompt_tokens = Summarize({10, 10});
  measured.output_tokens = Summarize({20, 20});
  measured.refusal_ms = Summarize({1, 3});
  measured.retry_after_s = Summarize({1, 2});
  measured.errors["http_500"] = {1, "it broke \xff"};
  return measured;
}

TEST(ReportTest, TheTableSaysWhatWasCountedAndHow) {
  const std::string table = ReportTable(Description(), Sample());
  EXPECT_THAT(table, HasSubstr("5 sent, 2 finished, 2 refused, 1 failed"));
  EXPECT_THAT(table, HasSubstr("1.00 requests/s, 20.0 output tokens/s, 30.0 tokens/s in all"));
  EXPECT_THAT(table, HasSubstr("2 with Retry-After, from 1 to 2 s"));
  EXPECT_THAT(table, HasSubstr("1 x http_500: it broke"));
  EXPECT_THAT(table, HasSubstr("spread evenly over its chunks"));
  EXPECT_THAT(table, HasSubstr("25.0 % of one core"));
  EXPECT_THAT(table, Not(HasSubstr("Goodput")));
  EXPECT_THAT(table, Not(HasSubstr("busy enough")));
  Measurement by_chunks = Sample();
  by_chunks.counted_by_usage = 0;
  by_chunks.counted_by_chunks = 2;
  by_chunks.prompt_tokens = {};
  by_chunks.good = 1;
  BenchDescription busy = Description();
  busy.client_cpu_s = 1.9;
  const std::string other = ReportTable(busy, by_chunks);
  EXPECT_THAT(other, HasSubstr("counted chunks: the server sent no usage"));
  EXPECT_THAT(other, HasSubstr("not counted: the server sent no usage"));
  EXPECT_THAT(other, HasSubstr("0.50 requests/s: 1 of 5 met the objectives"));
  EXPECT_THAT(other, HasSubstr("busy enough"));
}

TEST(ReportTest, TheJsonIsWhole) {
  Measurement measured = Sample();
  measured.good = 1;
  const auto report = nlohmann::json::parse(ReportJson(Description(), measured));
  EXPECT_EQ(report["format"], "sluice-bench-1");
  EXPECT_EQ(report["requests"]["refused"], 2);
  EXPECT_EQ(report["ttft_ms"]["p50"], 150);
  EXPECT_EQ(report["ttft_ms"]["count"], 2);
  EXPECT_EQ(report["inter_token_ms"], (nlohmann::json{{"count", 0}}));
  EXPECT_EQ(report["throughput"]["output_tokens_per_s"], 20);
  EXPECT_EQ(report["throughput"]["total_tokens_per_s"], 30);
  EXPECT_EQ(report["errors"]["http_500"]["count"], 1);
  EXPECT_EQ(report["goodput"]["requests"], 1);
  EXPECT_EQ(report["client"]["share_of_a_core"], 0.25);
  EXPECT_EQ(report["options"]["concurrency"], "2");
  EXPECT_EQ(report["inter_token_basis"]["spread"], 2);
}

}  // namespace
}  // namespace sluice::gateway
