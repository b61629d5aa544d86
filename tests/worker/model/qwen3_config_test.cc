// SPDX-License-Identifier: Apache-2.0
#include "worker/model/qwen3_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nlohmann/json.hpp"

namespace sluice::worker {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Qwen3-14B-AWQ's own.
json Config() {
  return json::parse(R"({
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "eos_token_id": 151645,
    "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120, "intermediate_size": 17408,
    "max_position_embeddings": 40960, "max_window_layers": 40, "model_type": "qwen3",
    "num_attention_heads": 40, "num_hidden_layers": 40, "num_key_value_heads": 8,
    "quantization_config": {"bits": 4, "group_size": 128, "modules_to_not_convert": null,
      "quant_method": "awq", "version": "gemm", "zero_point": true},
    "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
    "tie_word_embeddings": false, "torch_dtype": "float16", "use_sliding_window": false,
    "vocab_size": 151936})");
}

absl::StatusOr<Qwen3Config> Parse(const json& config, const std::string& rope = "") {
  return ParseQwen3Config(config.dump(), rope);
}

std::string MessageWith(const char* key, const json& value) {
  json config = Config();
  config[key] = value;
  return std::string(Parse(config).status().message());
}

TEST(Qwen3ConfigTest, ReadsThe14B) {
  const auto config = Parse(Config());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->q_size(), 5120);
  EXPECT_EQ(config->kv_size(), 1024);
  EXPECT_EQ(config->num_layers, 40);
  EXPECT_EQ(config->rope_theta, 1e6);
  EXPECT_EQ(config->rms_norm_eps, 1e-6);
  EXPECT_EQ(config->max_position_embeddings, 40960);
  EXPECT_TRUE(config->quantization.has_value());
  EXPECT_FALSE(config->yarn.has_value());
  EXPECT_EQ(config->RopeScalingJson(), "");
}

TEST(Qwen3ConfigTest, ReadsTransformersFive) {
  json config = Config();
  config.erase("rope_theta");
  config.erase("rope_scaling");
  config.erase("head_dim");
  config["rope_parameters"] = {{"rope_theta", 5000000}, {"rope_type", "default"}};
  config["dtype"] = "bfloat16";
  config["layer_types"] = {"full_attention", "full_attention"};
  const auto parsed = Parse(config);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->rope_theta, 5e6);
  EXPECT_EQ(parsed->torch_dtype, "bfloat16");
  EXPECT_FALSE(parsed->yarn.has_value());
}

TEST(Qwen3ConfigTest, RefusesWhatItDoesNotRun) {
  EXPECT_THAT(MessageWith("model_type", "llama"), HasSubstr(R"(model_type is "llama")"));
  EXPECT_THAT(MessageWith("architectures", {"X"}), HasSubstr(R"(architectures is ["X"])"));
  EXPECT_THAT(MessageWith("hidden_act", "gelu"), HasSubstr("hidden_act"));
  EXPECT_THAT(MessageWith("attention_bias", true), HasSubstr("attention_bias is true"));
  EXPECT_THAT(MessageWith("use_sliding_window", true), HasSubstr("use_sliding_window"));
  EXPECT_THAT(MessageWith("head_dim", 64), HasSubstr("head_dim is 64; Sluice runs 128"));
  EXPECT_THAT(MessageWith("layer_types", {"sliding_attention"}), HasSubstr("layer_types holds"));
  EXPECT_THAT(MessageWith("hidden_size", 100),
              HasSubstr("hidden_size is 100; it must be a multiple"));
  EXPECT_THAT(MessageWith("hidden_size", -128), HasSubstr("from 1 to"));
  EXPECT_THAT(MessageWith("hidden_size", "5120"), HasSubstr("hidden_size is \"5120\""));
  EXPECT_THAT(MessageWith("vocab_size", 1e30), HasSubstr("vocab_size is 1e+30"));
  EXPECT_THAT(MessageWith("num_attention_heads", 41), HasSubstr("num_key_value_heads 8 does not"));
  EXPECT_THAT(MessageWith("rope_theta", 0), HasSubstr("rope_theta is 0"));
  EXPECT_THAT(MessageWith("tie_word_embeddings", 1), HasSubstr("tie_word_embeddings is 1"));
  json config = Config();
  config.erase("rms_norm_eps");
  EXPECT_THAT(std::string(Parse(config).status().message()), HasSubstr("it has no rms_norm_eps"));
  EXPECT_THAT(std::string(ParseQwen3Config("{", "").status().message()),
              HasSubstr("config.json is not valid JSON"));
}

TEST(Qwen3ConfigTest, ReadsYarnInEverySpelling) {
  const json yarn = {{"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  json with_rope_type = yarn;
  with_rope_type["rope_type"] = "yarn";
  json with_type = yarn;
  with_type["type"] = "yarn";
  json parameters = with_rope_type;
  parameters["rope_theta"] = 1000000;

  std::vector<absl::StatusOr<Qwen3Config>> parsed;
  for (const auto& [key, value] :
       {std::pair("rope_scaling", with_rope_type), std::pair("rope_scaling", with_type),
        std::pair("rope_parameters", parameters)}) {
    json config = Config();
    config[key] = value;
    parsed.push_back(Parse(config));
  }
  parsed.push_back(Parse(Config(), with_rope_type.dump()));
  for (const auto& config : parsed) {
    ASSERT_TRUE(config.ok()) << config.status();
    ASSERT_TRUE(config->yarn.has_value());
    EXPECT_EQ(config->max_position_embeddings, 131072);
    EXPECT_NEAR(config->yarn->attention_factor, 1.13863, 1e-5);
    EXPECT_EQ(json::parse(config->RopeScalingJson())["factor"], 4.0);
  }
}

TEST(Qwen3ConfigTest, TheFlagReplacesTheFolders) {
  json config = Config();
  config["rope_scaling"] = {
      {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const auto off = Parse(config, R"({"rope_type": "default"})");
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_FALSE(off->yarn.has_value());
  EXPECT_EQ(off->max_position_embeddings, 40960);
  const auto two = Parse(
      config, R"({"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 32768})");
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(two->max_position_embeddings, 65536);
}

TEST(Qwen3ConfigTest, RefusesBrokenRopeScaling) {
  const auto message = [](const std::string& rope) {
    return std::string(Parse(Config(), rope).status().message());
  };
  EXPECT_THAT(message("{"), HasSubstr("--rope-scaling is not valid JSON"));
  EXPECT_THAT(message("{}"), HasSubstr("has neither rope_type nor type"));
  EXPECT_THAT(message(R"({"rope_type": "linear", "factor": 2})"),
              HasSubstr(R"(--rope-scaling.rope_type is "linear")"));
  EXPECT_THAT(message(R"({"rope_type": "yarn"})"), HasSubstr("is yarn but has no factor"));
  EXPECT_THAT(message(R"({"rope_type": "yarn", "factor": 4})"),
              HasSubstr("has no original_max_position_embeddings"));
  EXPECT_THAT(message(R"({"rope_type": "yarn", "factor": 0.5,
                          "original_max_position_embeddings": 32768})"),
              HasSubstr("factor is 0.5"));
  EXPECT_THAT(message(R"({"rope_type": "yarn", "factor": 4, "mscale": 1,
                          "original_max_position_embeddings": 32768})"),
              HasSubstr("has mscale = 1, which Sluice does not implement"));
  json config = Config();
  config["rope_scaling"] = {
      {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  config["rope_parameters"] = {
      {"rope_type", "yarn"}, {"factor", 2.0}, {"original_max_position_embeddings", 32768}};
  EXPECT_THAT(std::string(Parse(config).status().message()), HasSubstr("but rope_scaling is"));
}

TEST(CheckTpSizeTest, TakesWhatDividesAndNamesTheNumbers) {
  const Qwen3Config config = *Parse(Config());
  for (const int n : {1, 2, 4, 8}) EXPECT_TRUE(CheckTpSize(config, n).ok()) << n;
  for (const int n : {-1, 0, 3, 5, 16}) {
    const std::string message(CheckTpSize(config, n).message());
    EXPECT_THAT(message, HasSubstr("tp-size " + std::to_string(n)));
    EXPECT_THAT(message, HasSubstr("40 attention heads, 8 key-value heads, 136 groups of 128"));
    EXPECT_THAT(message, HasSubstr("possible are 1, 2, 4, 8"));
  }
}

}  // namespace
}  // namespace sluice::worker
