// SPDX-License-Identifier: Apache-2.0
#include "worker/engine/request_validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace sluice::worker {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const ModelLimits kLimits{.max_model_len = 16, .vocab_size = 100, .eos_ids = {5}};

EngineRequest Valid() {
  EngineRequest request;
  request.id = std::string("a");
  request.prompt = {0, 99};
  return request;
}

struct Bad {
  const char* field;
  std::function<void(EngineRequest&)> spoil;
};

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

const Bad kBad[] = {
    {"request_id", [](auto& r) { r.id.assign(kMaxRequestIdBytes + 1, 'x'); }},
    {"prompt_ids", [](auto& r) { r.prompt.clear(); }},
    {"prompt_ids", [](auto& r) { r.prompt = {100}; }},
    {"prompt_ids", [](auto& r) { r.prompt = {-1}; }},
    {"prompt_ids", [](auto& r) { r.prompt.assign(16, 1); }},
    {"output_ids", [](auto& r) { r.output = {100}; }},
    {"output_ids", [](auto& r) { r.output.assign(15, 1); }},
    {"output_ids", [](auto& r) { r.output = {1}, r.n = 2; }},
    {"n", [](auto& r) { r.n = 0; }},
    {"n", [](auto& r) { r.n = kMaxChoices + 1; }},
    {"first_choice", [](auto& r) { r.first_choice = kMaxChoices; }},
    {"first_choice", [](auto& r) { r.first_choice = -1; }},
    {"sampling.temperature", [](auto& r) { r.params.temperature = -0.1f; }},
    {"sampling.temperature", [](auto& r) { r.params.temperature = kNan; }},
    {"sampling.temperature", [](auto& r) { r.params.temperature = kInf; }},
    {"sampling.top_k", [](auto& r) { r.params.top_k = -1; }},
    {"sampling.top_p", [](auto& r) { r.params.top_p = 0.0f; }},
    {"sampling.top_p", [](auto& r) { r.params.top_p = 1.1f; }},
    {"sampling.top_p", [](auto& r) { r.params.top_p = kNan; }},
    {"sampling.min_p", [](auto& r) { r.params.min_p = 1.5f; }},
    {"sampling.repetition_penalty", [](auto& r) { r.params.repetition_penalty = 0.0f; }},
    {"sampling.repetition_penalty", [](auto& r) { r.params.repetition_penalty = kNan; }},
    {"sampling.presence_penalty", [](auto& r) { r.params.presence_penalty = 2.5f; }},
    {"sampling.frequency_penalty", [](auto& r) { r.params.frequency_penalty = -2.5f; }},
    {"sampling.logit_bias", [](auto& r) { r.params.logit_bias = {{100, 1.0f}}; }},
    {"sampling.logit_bias", [](auto& r) { r.params.logit_bias = {{1, kInf}}; }},
    {"sampling.logit_bias", [](auto& r) { r.params.logit_bias = {{1, 1.0f}, {1, 2.0f}}; }},
    {"sampling.banned_token_ids", [](auto& r) { r.params.banned_token_ids.assign(101, 1); }},
    {"sampling.stop_token_ids", [](auto& r) { r.params.stop_token_ids.assign(101, 1); }},
    {"sampling.allowed_token_ids", [](auto& r) { r.params.allowed_token_ids = {100}; }},
    {"sampling.banned_token_ids", [](auto& r) { r.params.banned_token_ids = {-5}; }},
    {"sampling.stop_token_ids", [](auto& r) { r.params.stop_token_ids = {100}; }},
    {"sampling.min_tokens", [](auto& r) { r.params.max_tokens = 2, r.params.min_tokens = 3; }},
    {"sampling.logprobs", [](auto& r) { r.params.logprobs = 21; }},
    {"sampling.allowed_token_ids",
     [](auto& r) { r.params.allowed_token_ids = {1}, r.params.banned_token_ids = {1}; }},
    {"sampling.allowed_token_ids",
     [](auto& r) { r.params.allowed_token_ids = {5}, r.params.min_tokens = 1; }},
    {"sampling.prompt_logprobs", [](auto& r) { r.params.prompt_logprobs = 21; }},
    {"sampling.prompt_logprobs", [](auto& r) { r.output = {1}, r.params.prompt_logprobs = 0; }},
};

TEST(RequestValidationTest, RefusalsNameTheField) {
  ASSERT_TRUE(ValidateRequest(Valid(), kLimits).ok());
  for (const Bad& bad : kBad) {
    EngineRequest request = Valid();
    bad.spoil(request);
    const absl::Status status = ValidateRequest(request, kLimits);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.field;
    EXPECT_THAT(std::string(status.message()), StartsWith(bad.field));
  }
}

TEST(RequestValidationTest, LongPromptNamesBothNumbers) {
  EngineRequest request = Valid();
  request.prompt.assign(16, 1);
  const std::string message(ValidateRequest(request, kLimits).message());
  EXPECT_THAT(message, HasSubstr("16 prompt tokens"));
  EXPECT_THAT(message, HasSubstr("context of 16 tokens"));
  request.prompt.resize(15);
  EXPECT_TRUE(ValidateRequest(request, kLimits).ok()) << "room for one id is enough";
}

TEST(RequestValidationTest, BoundsThemselvesAreFine) {
  EngineRequest request = Valid();
  request.n = kMaxChoices;
  request.params.temperature = 0.0f;
  request.params.min_p = 1.0f;
  request.params.presence_penalty = -2.0f;
  request.params.frequency_penalty = 2.0f;
  request.params.logprobs = kMaxTopLogprobs;
  request.params.max_tokens = 3;
  request.params.min_tokens = 3;
  request.params.allowed_token_ids = {0, 99};
  EXPECT_TRUE(ValidateRequest(request, kLimits).ok());
}

}  // namespace
}  // namespace sluice::worker
