// SPDX-License-Identifier: Apache-2.0
#include "worker/model/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "nlohmann/json.hpp"
#include "tests/worker/model/model_runner.h"
#include "worker/model/qwen3_model.h"

namespace sluice::worker {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void WriteFile(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// A copy of a parity checkpoint to break.
fs::path Copy(const std::string& checkpoint) {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  const fs::path dir = fs::path(testing::TempDir()) / (checkpoint + "_" + info->name());
  fs::remove_all(dir);
  fs::copy(ParityDir(checkpoint), dir);
  return dir;
}

std::string Message(const fs::path& dir, int tp_size = 1) {
  return std::string(
      ModelFolder::Open({.dir = dir.string(), .tp_size = tp_size}).status().message());
}

void EditConfig(const fs::path& dir, const char* key, const json& value) {
  json config = json::parse(ReadFile(dir / "config.json"));
  config[key] = value;
  WriteFile(dir / "config.json", config.dump());
}

// Rewrites the header of a safetensors file in place; the data stays.
void EditHeader(const fs::path& file, const std::function<void(json*)>& edit) {
  const std::string bytes = ReadFile(file);
  uint64_t old_size = 0;
  std::memcpy(&old_size, bytes.data(), 8);
  json header = json::parse(bytes.substr(8, old_size));
  edit(&header);
  const std::string text = header.dump();
  const uint64_t size = text.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &size, 8);
  WriteFile(file, out + text + bytes.substr(8 + old_size));
}

TEST(ModelFolderTest, TellsWhatARankWillHold) {
  for (const char* name : {"grouped_untied", "plain_tied", "mixed", "dense", "full_vocabulary"}) {
    const auto folder = ModelFolder::Open({.dir = ParityDir(name)});
    ASSERT_TRUE(folder.ok()) << folder.status();
    SingleRankCommunicator communicator;
    kernels::cpu::ThreadPool pool(1);
    int64_t last = 0;
    const auto model =
        Qwen3Model::Load(**folder, &communicator, &pool, [&](int64_t done, int64_t total) {
          EXPECT_GT(done, last);
          EXPECT_EQ(total, (*folder)->BytesToRead());
          last = done;
        });
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->weight_bytes(), (*folder)->WeightBytesPerRank()) << name;
    EXPECT_EQ(last, (*folder)->BytesToRead()) << name;
    EXPECT_EQ((*folder)->BytesToRead(), (*folder)->checkpoint()->tensor_bytes()) << name;
  }
}

TEST(ModelFolderTest, SummaryNamesTheFacts) {
  const auto folder = ModelFolder::Open({.dir = ParityDir("grouped_untied"), .tp_size = 2});
  ASSERT_TRUE(folder.ok()) << folder.status();
  const std::string summary = (*folder)->Summary();
  EXPECT_THAT(summary,
              HasSubstr("2 layers, hidden size 256, 20 query heads and 4 key-value heads"));
  EXPECT_THAT(summary, HasSubstr("2048 rows, untied lm_head"));
  EXPECT_THAT(summary, HasSubstr("parameters: 4.98 million"));
  EXPECT_THAT(summary, HasSubstr("AWQ gemm, 4 bits, groups of 128"));
  EXPECT_THAT(summary, HasSubstr("53 tensors in 2 files"));
  // Two layers, two KV heads of 128, keys and values, four bytes each.
  EXPECT_THAT(summary, HasSubstr("4096 bytes of KV cache per token"));
  EXPECT_EQ((*folder)->KvBytesPerPagePerRank(), 64 * 4096);
}

TEST(ModelFolderTest, DigestsTellFoldersAndScalingsApart) {
  const std::string dir = ParityDir("plain_tied");
  const auto digest = [](const ModelFolderOptions& options) {
    return (*ModelFolder::Open(options))->digest();
  };
  const std::string plain = digest({.dir = dir});
  EXPECT_EQ(plain.size(), 64U);
  EXPECT_EQ(plain, digest({.dir = dir, .tp_size = 2}));
  EXPECT_NE(plain, digest({.dir = ParityDir("mixed")}));
  EXPECT_NE(plain, digest({.dir = dir, .dummy_weights = true}));
  EXPECT_NE(plain, digest({.dir = dir, .rope_scaling = R"({"rope_type": "yarn", "factor": 4,
                                               "original_max_position_embeddings": 32768})"}));
}

TEST(ModelFolderTest, BrokenFoldersAreRefusedInOneSentence) {
  EXPECT_THAT(Message("/nonexistent"), HasSubstr("/nonexistent/config.json cannot be read"));
  EXPECT_THAT(Message(ParityDir("plain_tied"), 3),
              HasSubstr("tp-size 3 cannot share this model: it must divide 4 attention heads"));

  fs::path dir = Copy("grouped_untied");
  fs::remove(dir / "model-00002-of-00002.safetensors");
  EXPECT_THAT(Message(dir), HasSubstr("the shard model-00002-of-00002.safetensors"));

  dir = Copy("grouped_untied");
  fs::resize_file(dir / "model-00001-of-00002.safetensors",
                  fs::file_size(dir / "model-00001-of-00002.safetensors") - 1);
  EXPECT_THAT(Message(dir), testing::AllOf(HasSubstr("model-00001-of-00002.safetensors: tensor "),
                                           HasSubstr("the file is truncated")));

  dir = Copy("plain_tied");
  EditConfig(dir, "intermediate_size", 1152);
  EXPECT_THAT(
      Message(dir),
      testing::AllOf(HasSubstr("model.safetensors: tensor model.layers.0.mlp.gate_proj"),
                     HasSubstr("is I32 [384, 128], but config.json makes it I32 [384, 144]")));

  dir = Copy("plain_tied");
  EditConfig(dir, "quantization_config", {{"quant_method", "gptq"}});
  EXPECT_THAT(Message(dir), HasSubstr(R"(quant_method is "gptq")"));

  dir = Copy("plain_tied");
  EditConfig(dir, "quantization_config", nullptr);
  EXPECT_THAT(Message(dir),
              HasSubstr("the checkpoint lacks tensor model.layers.0.self_attn.q_proj.weight"));

  dir = Copy("plain_tied");
  EditConfig(dir, "num_hidden_layers", 1);
  EXPECT_THAT(Message(dir), HasSubstr("has no place in the model of config.json"));

  dir = Copy("plain_tied");
  EditConfig(dir, "tie_word_embeddings", false);
  EXPECT_THAT(Message(dir), HasSubstr("lacks tensor lm_head.weight"));

  dir = Copy("plain_tied");
  WriteFile(dir / "generation_config.json", R"({"eos_token_id": 2048})");
  EXPECT_THAT(Message(dir), HasSubstr("eos_token_id 2048 is not below config.json's vocab_size"));
}

TEST(ModelFolderTest, BrokenHeadersAreRefused) {
  fs::path dir = Copy("plain_tied");
  EditHeader(dir / "model.safetensors", [](json* header) {
    auto& tensor = (*header)["model.norm.weight"];
    const uint64_t begin = tensor["data_offsets"][0];
    tensor["data_offsets"] = {begin - 2, begin - 2 + 768};
  });
  EXPECT_THAT(Message(dir), HasSubstr("model.norm.weight begins at byte"));
  dir = Copy("plain_tied");
  EditHeader(dir / "model.safetensors", [](json* header) {
    auto tensor = (*header)["model.norm.weight"];
    header->erase("model.norm.weight");
    (*header)["model.norm.bias"] = tensor;
  });
  EXPECT_THAT(Message(dir), HasSubstr("lacks tensor model.norm.weight"));
}

TEST(ModelFolderTest, ATiedHeadMayBeShippedTwice) {
  // Qwen3-0.6B's file holds a copy of the embedding under lm_head.weight.
  const fs::path dir = Copy("dense");
  EditConfig(dir, "tie_word_embeddings", true);
  EXPECT_EQ(Message(dir), "");
  EXPECT_FALSE(RunModel({.dir = dir.string(), .prompts = {RandomIds(1, 5, 512)}}).empty());
}

TEST(ModelFolderTest, DummyWeightsNeedNothingButConfigJson) {
  const fs::path dir = Copy("grouped_untied");
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().filename() != "config.json") fs::remove(entry.path());
  }
  const std::vector<std::vector<TokenId>> prompts = {RandomIds(7, 20, 2048)};
  std::vector<std::vector<float>> logits[2];
  for (const int tp_size : {1, 2}) {
    const auto folder =
        ModelFolder::Open({.dir = dir.string(), .tp_size = tp_size, .dummy_weights = true});
    ASSERT_TRUE(folder.ok()) << folder.status();
    logits[tp_size - 1] = RunModel(
        {.dir = dir.string(), .tp_size = tp_size, .prompts = prompts, .dummy_weights = true});
  }
  EXPECT_EQ(logits[0], logits[1]);
  for (const float logit : logits[0][0]) ASSERT_TRUE(std::isfinite(logit));
}

}  // namespace
}  // namespace sluice::worker
