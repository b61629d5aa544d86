// SPDX-License-Identifier: Apache-2.0
#include "worker/model/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(GenerationConfigTest, ReadsThe14B) {
  const auto config = ParseGenerationConfig(
      R"({"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643],
          "pad_token_id": 151643, "temperature": 0.6, "top_k": 20, "top_p": 0.95})",
      R"({"eos_token_id": 7})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->eos_ids, ElementsAre(151645, 151643));
  EXPECT_EQ(config->do_sample, true);
  EXPECT_FLOAT_EQ(*config->temperature, 0.6f);
  EXPECT_EQ(config->top_k, 20);
  EXPECT_FLOAT_EQ(*config->top_p, 0.95f);
  EXPECT_FALSE(config->min_p.has_value());
  EXPECT_FALSE(config->repetition_penalty.has_value());
}

TEST(GenerationConfigTest, FallsBackOnConfigJson) {
  EXPECT_THAT(ParseGenerationConfig("", R"({"eos_token_id": 7})")->eos_ids, ElementsAre(7));
  EXPECT_THAT(ParseGenerationConfig("{}", R"({"eos_token_id": [7, 8]})")->eos_ids,
              ElementsAre(7, 8));
  EXPECT_THAT(ParseGenerationConfig(R"({"eos_token_id": 9})", R"({"eos_token_id": 7})")->eos_ids,
              ElementsAre(9));
  EXPECT_TRUE(ParseGenerationConfig("", "{}")->eos_ids.empty());
}

TEST(GenerationConfigTest, NamesTheField) {
  const auto message = [](const char* text) {
    return std::string(ParseGenerationConfig(text, "{}").status().message());
  };
  EXPECT_THAT(message("nonsense"), HasSubstr("generation_config.json is not valid JSON"));
  EXPECT_THAT(message(R"({"eos_token_id": "x"})"),
              HasSubstr(R"(generation_config.json: eos_token_id is "x")"));
  EXPECT_THAT(message(R"({"eos_token_id": [-1]})"), HasSubstr("eos_token_id is [-1]"));
  EXPECT_THAT(message(R"({"top_p": 2})"), HasSubstr("top_p is 2; it must be a number from 0 to 1"));
  EXPECT_THAT(message(R"({"top_k": 1.5})"), HasSubstr("top_k is 1.5"));
  EXPECT_THAT(message(R"({"do_sample": 1})"), HasSubstr("do_sample is 1"));
  EXPECT_THAT(message(R"({"temperature": "hot"})"), HasSubstr("temperature is \"hot\""));
}

}  // namespace
}  // namespace sluice::worker
