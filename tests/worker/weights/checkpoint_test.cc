// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/weights/safetensors_builder.h"

namespace sluice::worker {
namespace {

using testing::HasSubstr;

std::string TensorFile(const std::string& name) {
  return Safetensors(
      R"({")" + name + R"(": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}})", 8);
}

class CheckpointTest : public testing::Test {
 protected:
  std::string Message() const {
    return std::string(Checkpoint::Open(dir_.string()).status().message());
  }
  void WriteIndex(const std::string& weight_map) const {
    WriteFile(dir_ / "model.safetensors.index.json",
              R"({"metadata": {"total_size": 99}, "weight_map": )" + weight_map + "}");
  }
  ExpectedTensor Expected(const std::string& name) const {
    return {.name = name, .shape = {2, 2}, .dtypes = {DType::kF16, DType::kBF16}};
  }

  const std::filesystem::path dir_ =
      FreshDir(testing::TempDir(), testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(CheckpointTest, ReadsOneFile) {
  WriteFile(dir_ / "model.safetensors", TensorFile("a"));
  const auto checkpoint = Checkpoint::Open(dir_.string());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->tensor_bytes(), 8);
  EXPECT_EQ((*checkpoint)->num_files(), 1);
  EXPECT_EQ((*checkpoint)->Data("a")[7], std::byte{7});
  EXPECT_EQ((*checkpoint)->Find("b"), nullptr);
}

TEST_F(CheckpointTest, ReadsShardsAndDoesNotTrustTotalSize) {
  WriteIndex(R"({"a": "1.safetensors", "b": "2.safetensors"})");
  WriteFile(dir_ / "1.safetensors", TensorFile("a"));
  WriteFile(dir_ / "2.safetensors", TensorFile("b"));
  const auto checkpoint = Checkpoint::Open(dir_.string());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->tensor_bytes(), 16);
  EXPECT_NE((*checkpoint)->Find("b"), nullptr);
}

TEST_F(CheckpointTest, NamesWhatIsMissing) {
  EXPECT_THAT(Message(), HasSubstr("has neither model.safetensors nor"));
  WriteIndex(R"({"a": "1.safetensors", "b": "2.safetensors"})");
  WriteFile(dir_ / "1.safetensors", TensorFile("a"));
  EXPECT_THAT(Message(), HasSubstr("the shard 2.safetensors"));
  WriteFile(dir_ / "2.safetensors", TensorFile("c"));
  EXPECT_THAT(Message(), HasSubstr("2.safetensors: holds tensor c, which"));
  WriteIndex(R"({"a": "1.safetensors", "c": "2.safetensors", "d": "2.safetensors"})");
  EXPECT_THAT(Message(), HasSubstr("2.safetensors: lacks tensor d"));
  WriteIndex(R"({"a": "1.safetensors", "c": "1.safetensors", "x": "2.safetensors"})");
  EXPECT_THAT(Message(), HasSubstr("places in 1.safetensors"));
}

TEST_F(CheckpointTest, RefusesATensorInTwoShards) {
  WriteIndex(R"({"a": "1.safetensors", "b": "2.safetensors"})");
  WriteFile(dir_ / "1.safetensors", TensorFile("a"));
  WriteFile(dir_ / "2.safetensors", TensorFile("a"));
  EXPECT_THAT(Message(), HasSubstr("tensor a is in both 1.safetensors and 2.safetensors"));
}

TEST_F(CheckpointTest, RefusesAnIndexThatLeadsElsewhere) {
  WriteIndex(R"({"a": "../secret"})");
  EXPECT_THAT(Message(), HasSubstr("\"../secret\", which is no file name"));
  WriteIndex("{}");
  EXPECT_THAT(Message(), HasSubstr("no weight_map that names a tensor"));
  WriteFile(dir_ / "model.safetensors.index.json", "[");
  EXPECT_THAT(Message(), HasSubstr("model.safetensors.index.json is not valid JSON"));
}

TEST_F(CheckpointTest, ChecksTensorsAgainstWhatIsExpected) {
  WriteFile(dir_ / "model.safetensors", TensorFile("a"));
  const auto checkpoint = *Checkpoint::Open(dir_.string());
  const auto message = [&](const std::vector<ExpectedTensor>& expected) {
    return std::string(checkpoint->Check(expected).message());
  };
  ExpectedTensor a = Expected("a");
  ExpectedTensor b = Expected("b");
  EXPECT_EQ(message({a}), "");
  EXPECT_THAT(message({a, b}), HasSubstr("lacks tensor b (F16 or BF16 [2, 2])"));
  b.optional = true;
  EXPECT_EQ(message({a, b}), "");
  EXPECT_THAT(message({b}), HasSubstr("model.safetensors: tensor a (BF16 [2, 2]) has no place"));
  a.shape = {4};
  EXPECT_THAT(message({a}), HasSubstr("tensor a is BF16 [2, 2], but config.json makes it F16 or "
                                      "BF16 [4]"));
  a = Expected("a");
  a.dtypes = {DType::kI32};
  EXPECT_THAT(message({a}), HasSubstr("tensor a is BF16 [2, 2], but config.json makes it I32"));
}

TEST_F(CheckpointTest, TheDigestSeesNamesSizesAndHeaders) {
  const auto digest_input = [&](const std::string& name) {
    WriteFile(dir_ / "model.safetensors", TensorFile(name));
    return (*Checkpoint::Open(dir_.string()))->DigestInput();
  };
  const std::string first = digest_input("a");
  EXPECT_NE(first, digest_input("b"));
  EXPECT_EQ(first, digest_input("a"));
}

}  // namespace
}  // namespace sluice::worker
