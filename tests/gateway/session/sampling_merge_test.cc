// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/sampling_merge.h"

#include <gtest/gtest.h>

#include "gateway/openai/error.h"

namespace sluice::gateway {
namespace {

ModelInfo Model() {
  ModelInfo model;
  model.max_model_len = 100;
  model.vocab_size = 50;
  model.sampling_defaults.temperature = 0.6f;
  model.sampling_defaults.top_p = 0.95f;
  model.sampling_defaults.top_k = 20;
  return model;
}

SamplingParams Merged(const GenerationOptions& request,
                      SamplingDefaults mode = SamplingDefaults::kModel, bool thinking = true,
                      int prompt_tokens = 10) {
  const auto params = MergeSampling(request, Model(), mode, thinking, prompt_tokens);
  EXPECT_TRUE(params.ok()) << params.status();
  return params.value_or(SamplingParams());
}

TEST(MergeSampling, TheRequestWinsOverTheModel) {
  GenerationOptions request;
  SamplingParams params = Merged(request);
  EXPECT_EQ(params.temperature, 0.6f);
  EXPECT_EQ(params.top_p, 0.95f);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_FALSE(params.min_p.has_value());
  request.temperature = 0.0f;
  request.top_k = -1;
  request.min_p = 0.1f;
  params = Merged(request);
  EXPECT_EQ(params.temperature, 0.0f);
  EXPECT_EQ(params.top_k, 0);
  EXPECT_EQ(params.min_p, 0.1f);
  EXPECT_EQ(params.top_p, 0.95f);
}

TEST(MergeSampling, ModeFollowsTheModelCard) {
  EXPECT_EQ(Merged({}, SamplingDefaults::kMode, true).temperature, 0.6f);
  EXPECT_EQ(Merged({}, SamplingDefaults::kMode, true).top_p, 0.95f);
  EXPECT_EQ(Merged({}, SamplingDefaults::kMode, false).temperature, 0.7f);
  EXPECT_EQ(Merged({}, SamplingDefaults::kMode, false).top_p, 0.8f);
  EXPECT_EQ(Merged({}, SamplingDefaults::kMode, false).top_k, 20);
}

TEST(MergeSampling, HoldsMaxTokensToTheContext) {
  GenerationOptions request;
  EXPECT_EQ(Merged(request).max_tokens, 90);
  request.max_tokens = 5;
  EXPECT_EQ(Merged(request).max_tokens, 5);
  request.max_tokens = 1000;
  request.min_tokens = 200;
  EXPECT_EQ(Merged(request).max_tokens, 90);
  EXPECT_EQ(Merged(request).min_tokens, 90);
}

TEST(MergeSampling, DrawsASeedWhenThereIsNone) {
  GenerationOptions request;
  EXPECT_NE(Merged(request).seed, Merged(request).seed);
  request.seed = 0;
  EXPECT_EQ(Merged(request).seed, 0u);
}

TEST(MergeSampling, RaisesATemperatureThatWouldOverflow) {
  GenerationOptions request;
  request.temperature = 1e-30f;
  EXPECT_EQ(Merged(request).temperature, 0.01f);
}

TEST(MergeSampling, RefusesIdsOutsideTheTokenizer) {
  const auto param = [](const GenerationOptions& request) {
    return ErrorParam(MergeSampling(request, Model(), SamplingDefaults::kModel, true, 1).status());
  };
  GenerationOptions request;
  request.logit_bias = {{49, 1.0f}};
  request.stop_token_ids = {0, 49};
  EXPECT_EQ(param(request), "");
  request.logit_bias = {{50, 1.0f}};
  EXPECT_EQ(param(request), "logit_bias[50]");
  request.logit_bias.clear();
  request.stop_token_ids = {0, 50};
  EXPECT_EQ(param(request), "stop_token_ids[1]");
  request.stop_token_ids.clear();
  request.allowed_token_ids = {-1};
  EXPECT_EQ(param(request), "allowed_token_ids[0]");
}

}  // namespace
}  // namespace sluice::gateway
