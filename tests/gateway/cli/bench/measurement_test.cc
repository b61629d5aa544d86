// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

using std::chrono::milliseconds;

BenchClock::time_point At(int ms) { return BenchClock::time_point(milliseconds(1'000'000 + ms)); }

// Sent at `sent`, a chunk at each of `chunks`, ended with the last.
RequestRecord& Add(LoadRun& run, int sent, const std::vector<int>& chunks, int64_t tokens) {
  RequestRecord& record = run.records.emplace_back();
  record.due = record.sent = At(sent);
  for (int ms : chunks) record.AddText(At(ms), -1);
  record.ended = record.last_text;
  record.ending = Ending::kFinished;
  record.usage.prompt_tokens = 10;
  record.usage.completion_tokens = tokens;
  return record;
}

TEST(MeasurementTest, OneTokenAChunk) {
  LoadRun run;
  Add(run, 0, {100, 110, 130}, 3);
  Add(run, 50, {100, 150}, 3);  // its third token, the end, has no text
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.finished, 2);
  EXPECT_NEAR(measured.duration_s, 0.150, 1e-9);
  EXPECT_NEAR(measured.ttft_ms.min, 50, 1e-4);
  EXPECT_NEAR(measured.ttft_ms.max, 100, 1e-4);
  EXPECT_EQ(measured.inter_chunk_ms.count, 3);
  EXPECT_EQ(measured.inter_token_ms.count, 3);
  EXPECT_NEAR(measured.inter_token_ms.max, 50, 1e-4);
  EXPECT_EQ(measured.itl_basis.one_token_per_chunk, 2);
  EXPECT_NEAR(measured.per_output_token_ms.min, 15, 1e-4);
  EXPECT_NEAR(measured.per_output_token_ms.max, 25, 1e-4);
  EXPECT_NEAR(measured.end_to_end_ms.max, 130, 1e-4);
  EXPECT_NEAR(measured.mean_concurrency, (130 + 100) / 150.0, 1e-9);
  EXPECT_EQ(measured.total_output_tokens, 6);
  EXPECT_EQ(measured.total_prompt_tokens, 20);
  EXPECT_EQ(measured.counted_by_usage, 2);
}

TEST(MeasurementTest, SeveralTokensAChunkAreSpreadAndSumUp) {
  LoadRun run;
  Add(run, 0, {100, 140, 200}, 11);
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.itl_basis.spread, 1);
  EXPECT_EQ(measured.inter_token_ms.count, 10);
  EXPECT_NEAR(measured.inter_token_ms.mean * 10, 100, 1e-3);
  EXPECT_NEAR(measured.inter_token_ms.min, 8, 1e-4);
  EXPECT_NEAR(measured.inter_token_ms.max, 12, 1e-4);
  EXPECT_NEAR(measured.inter_chunk_ms.max, 60, 1e-4);
}

TEST(MeasurementTest, TokensOfEachChunkAreExactWhereTheServerSaysThem) {
  LoadRun run;
  RequestRecord& record = run.records.emplace_back();
  record.due = record.sent = At(0);
  record.AddText(At(100), 2);
  record.AddText(At(130), 5);
  record.AddText(At(140), 6);
  record.ended = At(150);
  record.ending = Ending::kFinished;
  record.usage.completion_tokens = 6;
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.itl_basis.usage_per_chunk, 1);
  EXPECT_EQ(measured.inter_token_ms.count, 4);
  EXPECT_NEAR(measured.inter_token_ms.max, 10, 1e-3);
  EXPECT_NEAR(measured.inter_token_ms.min, 10, 1e-3);
}

TEST(MeasurementTest, WithoutUsageChunksAreCounted) {
  LoadRun run;
  RequestRecord& record = Add(run, 0, {100, 110}, -1);
  record.usage.prompt_tokens = -1;
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.counted_by_chunks, 1);
  EXPECT_EQ(measured.total_output_tokens, 2);
  EXPECT_EQ(measured.itl_basis.chunks_as_tokens, 1);
  EXPECT_EQ(measured.prompt_tokens.count, 0);
}

TEST(MeasurementTest, OnlyFinishedRequestsCountAsFinished) {
  LoadRun run;
  Add(run, 0, {100, 110}, 2);
  RequestRecord& refused = Add(run, 10, {}, -1);
  refused.ending = Ending::kRefused;
  refused.retry_after_s = 3;
  refused.ended = At(12);
  RequestRecord& failed = Add(run, 20, {200}, -1);
  failed.Fail("http_500", "boom");
  RequestRecord& left = Add(run, 30, {300}, -1);
  left.ending = Ending::kInterrupted;
  left.ended = {};
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.sent, 4);
  EXPECT_EQ(measured.finished, 1);
  EXPECT_EQ(measured.refused, 1);
  EXPECT_EQ(measured.failed, 1);
  EXPECT_EQ(measured.interrupted, 1);
  EXPECT_EQ(measured.ttft_ms.count, 1);
  EXPECT_EQ(measured.total_output_tokens, 2);
  EXPECT_NEAR(measured.refusal_ms.p50, 2, 1e-4);
  EXPECT_EQ(measured.retry_after_s.max, 3);
  EXPECT_EQ(measured.errors.at("http_500").count, 1);
  EXPECT_EQ(measured.errors.at("http_500").example, "boom");
  EXPECT_NEAR(measured.duration_s, 0.300, 1e-9);
}

TEST(MeasurementTest, GoodRequestsMeetEveryObjective) {
  LoadRun run;
  Add(run, 0, {100, 110, 120}, 3);
  Add(run, 0, {300, 310, 320}, 3);
  Add(run, 0, {100, 150, 200}, 3);
  EXPECT_FALSE(Measure(run, {}).good.has_value());
  EXPECT_EQ(Measure(run, {200.0, {}}).good, 2);
  EXPECT_EQ(Measure(run, {{}, 20.0}).good, 2);
  EXPECT_EQ(Measure(run, {200.0, 20.0}).good, 1);
}

TEST(MeasurementTest, AnAnswerInOneChunkHasNoPace) {
  LoadRun run;
  Add(run, 0, {100}, 8);
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.ttft_ms.count, 1);
  EXPECT_EQ(measured.per_output_token_ms.count, 0);
  EXPECT_EQ(measured.inter_token_ms.count, 0);
  EXPECT_EQ(measured.total_output_tokens, 8);
}

TEST(MeasurementTest, NothingAtAll) {
  EXPECT_EQ(Measure(LoadRun(), {}).sent, 0);
  LoadRun run;
  Add(run, 0, {}, 1).ended = At(5);  // a token without text
  const Measurement measured = Measure(run, {});
  EXPECT_EQ(measured.finished, 1);
  EXPECT_EQ(measured.ttft_ms.count, 0);
  EXPECT_EQ(measured.total_output_tokens, 1);
}

}  // namespace
}  // namespace sluice::gateway
