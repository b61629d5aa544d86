// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/quantization_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::worker {
namespace {

using testing::HasSubstr;

absl::StatusOr<std::optional<QuantizationConfig>> Parse(const std::string& object) {
  return ParseQuantizationConfig(R"({"quantization_config": )" + object + "}");
}
std::string Message(const std::string& object) {
  return std::string(Parse(object).status().message());
}

TEST(QuantizationConfigTest, ReadsBothSpellings) {
  const auto transformers = Parse(
      R"({"bits": 4, "group_size": 128, "modules_to_not_convert": null, "quant_method": "awq",
          "version": "gemm", "zero_point": true})");
  ASSERT_TRUE(transformers.ok()) << transformers.status();
  EXPECT_TRUE(transformers->has_value());
  const auto autoawq = Parse(
      R"({"w_bit": 4, "q_group_size": 128, "quant_method": "awq", "version": "GEMM",
          "zero_point": true})");
  ASSERT_TRUE(autoawq.ok()) << autoawq.status();
  EXPECT_EQ((*autoawq)->group_size, 128);
}

TEST(QuantizationConfigTest, IsAbsentFromDenseFolders) {
  EXPECT_FALSE(ParseQuantizationConfig("{}")->has_value());
  EXPECT_FALSE(Parse("null")->has_value());
}

TEST(QuantizationConfigTest, ModulesMatchByPartOfTheirName) {
  const auto config = Parse(
      R"({"bits": 4, "group_size": 128, "quant_method": "awq", "version": "gemm",
          "zero_point": true, "modules_to_not_convert": ["k_proj", "layers.1."]})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE((*config)->Converts("model.layers.0.self_attn.k_proj"));
  EXPECT_FALSE((*config)->Converts("model.layers.1.mlp.up_proj"));
  EXPECT_TRUE((*config)->Converts("model.layers.11.mlp.up_proj"));
}

TEST(QuantizationConfigTest, RefusesTheUnknownByName) {
  const std::string rest = R"("quant_method": "awq", "version": "gemm", "zero_point": true)";
  EXPECT_THAT(Message(R"({"quant_method": "gptq", "bits": 4})"),
              HasSubstr(R"(quantization_config.quant_method is "gptq"; Sluice runs "awq")"));
  EXPECT_THAT(Message("{}"), HasSubstr("has no quant_method"));
  EXPECT_THAT(Message("7"), HasSubstr("is not an object"));
  EXPECT_THAT(Message(R"({"bits": 3, "group_size": 128, )" + rest + "}"),
              HasSubstr("quantization_config.bits is 3; Sluice runs 4"));
  EXPECT_THAT(Message(R"({"bits": 4, "w_bit": 8, "group_size": 128, )" + rest + "}"),
              HasSubstr("quantization_config.w_bit is 8"));
  EXPECT_THAT(Message(R"({"bits": 4, "q_group_size": 64, )" + rest + "}"),
              HasSubstr("quantization_config.q_group_size is 64; Sluice runs 128"));
  EXPECT_THAT(Message(R"({"bits": 4, )" + rest + "}"),
              HasSubstr("has neither group_size nor q_group_size"));
  EXPECT_THAT(Message(R"({"bits": 4, "group_size": 128, "quant_method": "awq",
                          "version": "gemv", "zero_point": true})"),
              HasSubstr(R"(version is "gemv"; Sluice runs "gemm")"));
  EXPECT_THAT(Message(R"({"bits": 4, "group_size": 128, "quant_method": "awq",
                          "version": "gemm", "zero_point": false})"),
              HasSubstr("zero_point is false"));
  EXPECT_THAT(Message(R"({"bits": 4, "group_size": 128, "sparsity": 1, )" + rest + "}"),
              HasSubstr("unknown key 'sparsity'"));
  EXPECT_THAT(
      Message(R"({"bits": 4, "group_size": 128, "modules_to_not_convert": [""], )" + rest + "}"),
      HasSubstr("modules_to_not_convert is [\"\"]"));
}

}  // namespace
}  // namespace sluice::worker
