// SPDX-License-Identifier: Apache-2.0
// What memory allows: a KV cache that the machine cannot hold is refused before anything listens.
#include "worker/service/served_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

namespace sluice::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ServedModelTest : public ::testing::Test {
 protected:
  ServedModelTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    options_.model = ::testing::TempDir() + "served_model_" + info->name();
    options_.dummy_weights = true;
    std::filesystem::create_directories(options_.model);
    std::ofstream(options_.model + "/config.json") << R"({
      "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu",
      "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 512,
      "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1000000,
      "tie_word_embeddings": false, "torch_dtype": "bfloat16", "eos_token_id": 1})";
  }
  ~ServedModelTest() override { std::filesystem::remove_all(options_.model); }

  std::string Refusal() const { return std::string(OpenModel(options_).status().message()); }

  WorkerOptions options_;
};

TEST_F(ServedModelTest, CacheBeyondTheMachineIsRefused) {
  options_.kv_cache_bytes = MachineMemory();
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("--kv-cache-memory "), HasSubstr("weights ("),
                               HasSubstr("1 rank x "), HasSubstr("do not fit this machine's"),
                               HasSubstr("lower --kv-cache-memory to ")));
  options_.kv_cache_bytes = std::numeric_limits<int64_t>::max();
  options_.tp_size = 2;
  EXPECT_THAT(Refusal(), HasSubstr("do not fit this machine's")) << "no overflow";
}

TEST_F(ServedModelTest, CachesOfAllRanksCountTogether) {
  options_.kv_cache_bytes = MachineMemory() / 10 * 6;
  EXPECT_EQ(Refusal(), "");
  options_.tp_size = 2;
  EXPECT_THAT(Refusal(), HasSubstr("2 ranks x "));
}

}  // namespace
}  // namespace sluice::worker
