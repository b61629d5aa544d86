// SPDX-License-Identifier: Apache-2.0
// Proto and plain structs say the same.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "worker/service/engine_messages.h"
#include "worker/service/plan_messages.h"

namespace sluice::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(PlanMessagesTest, SurvivesTheWireWithoutSampling) {
  StepPlan plan;
  plan.step = 7;
  plan.released_rows = {3};
  plan.added.push_back(
      {.row = 3, .position = 64, .sampling = std::make_shared<RowAdd::Sampling>()});
  plan.pages = {{3, {5, 6}}, {1, {7}}};
  plan.page_copies = {{.from = 8, .to = 6}};
  plan.rows = {{.row = 3, .ids = {11, 12}, .sample = true, .num_prompt_logprobs = 1},
               {.row = 1, .ids = {}, .sample = true, .drafts = {21, 22}},
               {.row = 2, .ids = {13}, .sample = false}};
  const v1::StepPlan message = ToMessage(plan);
  const StepPlan back = FromMessage(message);
  EXPECT_EQ(back.step, 7);
  EXPECT_THAT(back.released_rows, ElementsAre(3));
  ASSERT_EQ(back.added.size(), 1u);
  EXPECT_EQ(back.added[0].position, 64);
  EXPECT_EQ(back.added[0].sampling, nullptr) << "rank 0 alone samples";
  EXPECT_THAT(back.pages[0].pages, ElementsAre(5, 6));
  EXPECT_EQ(back.pages[1].row, 1);
  ASSERT_EQ(back.page_copies.size(), 1u);
  EXPECT_EQ(back.page_copies[0].from, 8);
  EXPECT_EQ(back.page_copies[0].to, 6);
  EXPECT_THAT(back.rows[0].ids, ElementsAre(11, 12));
  EXPECT_TRUE(back.rows[0].sample);
  EXPECT_THAT(back.rows[0].drafts, IsEmpty());
  EXPECT_EQ(back.rows[0].num_prompt_logprobs, 1);
  EXPECT_EQ(back.rows[1].num_prompt_logprobs, 0);
  EXPECT_THAT(back.rows[1].ids, IsEmpty());
  EXPECT_THAT(back.rows[1].drafts, ElementsAre(21, 22));
  EXPECT_FALSE(back.rows[2].sample);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(ToMessage(back), message));
}

TEST(EngineMessagesTest, AbsentFieldsHaveTheDocumentedDefaults) {
  v1::GenerateRequest message;
  message.add_prompt_ids(1);
  const auto request = FromMessage(message);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->n, 1);
  EXPECT_EQ(request->params.temperature, 1.0f);
  EXPECT_EQ(request->params.top_p, 1.0f);
  EXPECT_EQ(request->params.repetition_penalty, 1.0f);
  EXPECT_EQ(request->params.max_tokens, 0);
  EXPECT_FALSE(request->params.logprobs.has_value());
  EXPECT_FALSE(request->params.prompt_logprobs.has_value());
}

TEST(EngineMessagesTest, EveryFieldArrives) {
  v1::GenerateRequest message;
  message.set_request_id("r");
  message.add_prompt_ids(1);
  message.add_output_ids(2);
  message.set_n(3);
  message.set_priority(-4);
  message.set_cache_salt("salt");
  message.set_first_choice(5);
  v1::SamplingParams& sampling = *message.mutable_sampling();
  sampling.set_temperature(0.0f);
  sampling.set_top_k(5);
  sampling.set_top_p(0.5f);
  sampling.set_min_p(0.25f);
  sampling.set_repetition_penalty(1.5f);
  sampling.set_presence_penalty(-1.0f);
  sampling.set_frequency_penalty(1.25f);
  (*sampling.mutable_logit_bias())[6] = 2.0f;
  sampling.add_allowed_token_ids(7);
  sampling.add_banned_token_ids(8);
  sampling.set_max_tokens(9);
  sampling.set_min_tokens(10);
  sampling.set_ignore_eos(true);
  sampling.add_stop_token_ids(11);
  sampling.set_logprobs(12);
  sampling.set_seed(~uint64_t{0});
  sampling.set_prompt_logprobs(13);
  const auto request = FromMessage(message);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->id, "r");
  EXPECT_THAT(request->prompt, ElementsAre(1));
  EXPECT_THAT(request->output, ElementsAre(2));
  EXPECT_EQ(request->n, 3);
  EXPECT_EQ(request->priority, -4);
  EXPECT_EQ(request->cache_salt, "salt");
  EXPECT_EQ(request->first_choice, 5);
  const SamplingParams& params = request->params;
  EXPECT_EQ(params.temperature, 0.0f);
  EXPECT_EQ(params.top_k, 5);
  EXPECT_EQ(params.top_p, 0.5f);
  EXPECT_EQ(params.min_p, 0.25f);
  EXPECT_EQ(params.repetition_penalty, 1.5f);
  EXPECT_EQ(params.presence_penalty, -1.0f);
  EXPECT_EQ(params.frequency_penalty, 1.25f);
  EXPECT_THAT(params.logit_bias, ElementsAre(std::pair<TokenId, float>(6, 2.0f)));
  EXPECT_THAT(params.allowed_token_ids, ElementsAre(7));
  EXPECT_THAT(params.banned_token_ids, ElementsAre(8));
  EXPECT_EQ(params.max_tokens, 9);
  EXPECT_EQ(params.min_tokens, 10);
  EXPECT_TRUE(params.ignore_eos);
  EXPECT_THAT(params.stop_token_ids, ElementsAre(11));
  EXPECT_EQ(params.logprobs, 12);
  EXPECT_EQ(params.seed, ~uint64_t{0});
  EXPECT_EQ(params.prompt_logprobs, 13);
}

TEST(EngineMessagesTest, NumbersBeyondIntAreRefusedByName) {
  v1::GenerateRequest message;
  message.mutable_sampling()->set_max_tokens(4'000'000'000u);
  const auto request = FromMessage(message);
  EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(request.status().message()),
              HasSubstr("sampling.max_tokens: 4000000000"));
  EXPECT_FALSE(FromMessage(v1::CancelRequest()).ok()) << "a cancel needs a reason";
}

TEST(EngineMessagesTest, MergedChunksSayWhatBothSaid) {
  ChoiceChunk first{.choice = 1, .ids = {4, 5}};
  first.logprobs.resize(2);
  first.logprobs[1].top_ids = {9};
  ChoiceChunk last{.choice = 1, .ids = {6}};
  last.logprobs.resize(1);
  last.finish = FinishReason::kStop;
  last.stop_id = 6;
  last.usage = {.prompt_tokens = 10, .completion_tokens = 3};
  v1::GenerateResponse message = ToMessage(first);
  Merge(ToMessage(last), message);
  EXPECT_EQ(message.choice(), 1u);
  EXPECT_THAT(message.ids(), ElementsAre(4, 5, 6));
  EXPECT_EQ(message.logprobs_size(), 3);
  EXPECT_EQ(message.logprobs(1).top_ids(0), 9);
  EXPECT_EQ(message.finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(message.stop_id(), 6);
  EXPECT_EQ(message.usage().completion_tokens(), 3u);
}

TEST(EngineMessagesTest, PromptScoresArrive) {
  ChoiceChunk chunk;
  chunk.prompt_logprobs = {{.logprob = -1.5f, .top_ids = {3}, .top_logprobs = {-0.5f}},
                           {.logprob = -2.0f, .top_ids = {}, .top_logprobs = {}}};
  const v1::GenerateResponse message = ToMessage(chunk);
  ASSERT_EQ(message.prompt_logprobs_size(), 2);
  EXPECT_EQ(message.prompt_logprobs(0).logprob(), -1.5f);
  EXPECT_THAT(message.prompt_logprobs(0).top_ids(), ElementsAre(3));
  EXPECT_THAT(message.prompt_logprobs(0).top_logprobs(), ElementsAre(-0.5f));
  EXPECT_EQ(message.ids_size(), 0);
  EXPECT_EQ(message.finish_reason(), v1::FINISH_REASON_UNSPECIFIED);
}

}  // namespace
}  // namespace sluice::worker
