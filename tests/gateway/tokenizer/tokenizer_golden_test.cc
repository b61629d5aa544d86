// SPDX-License-Identifier: Apache-2.0
// The real tokenizer.json against what Hugging Face Tokenizers made of thousands of strings
// (tests/reference/tokenizer_golden.py).
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gateway/tokenizer/incremental_detokenizer.h"
#include "gateway/tokenizer/nfc.h"
#include "gateway/tokenizer/sha256.h"
#include "gateway/tokenizer/tokenizer.h"
#include "tests/support/qwen3_dir.h"

namespace sluice::gateway {
namespace {

using nlohmann::json;

class TokenizerGoldenTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string path = sluice::testing::Qwen3TokenizerJson();
    if (path.empty()) return;
    auto loaded = Tokenizer::Load(path);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = loaded->release();
    std::ifstream file(std::string(SLUICE_BINARY_DIR) + "/tests/golden/tokenizer/strings.jsonl");
    std::string line;
    if (std::getline(file, line)) manifest_ = json::parse(line);
    while (std::getline(file, line)) cases_.push_back(json::parse(line));
  }

  static void TearDownTestSuite() {
    delete tokenizer_;
    tokenizer_ = nullptr;
    cases_.clear();
  }

  void SetUp() override {
    if (tokenizer_ == nullptr || cases_.empty()) {
      GTEST_SKIP() << "no tokenizer.json or goldens: set SLUICE_QWEN3_DIR and install xz";
    }
  }

  static std::vector<TokenId> Encode(const std::string& text) {
    const auto ids = tokenizer_->Encode(text);
    EXPECT_TRUE(ids.ok()) << ids.status();
    return ids.ok() ? *ids : std::vector<TokenId>();
  }

  static std::string Stream(const std::vector<TokenId>& ids, bool skip_special) {
    IncrementalDetokenizer stream(*tokenizer_, skip_special);
    std::string joined;
    for (TokenId id : ids) joined += stream.Append(id);
    return joined + stream.Flush();
  }

  static const Tokenizer* tokenizer_;
  static json manifest_;
  static std::vector<json> cases_;
};

const Tokenizer* TokenizerGoldenTest::tokenizer_ = nullptr;
json TokenizerGoldenTest::manifest_;
std::vector<json> TokenizerGoldenTest::cases_;

TEST_F(TokenizerGoldenTest, GoldensAreOfThisTokenizerAndComplete) {
  EXPECT_EQ(manifest_["tokenizer_sha256"], tokenizer_->sha256());
  std::map<std::string, int> counts;
  std::set<std::string> texts;
  for (const json& entry : cases_) {
    ++counts[entry["kind"]];
    if (entry.contains("ids") && entry["kind"] != "decode") texts.insert(entry["text"]);
  }
  EXPECT_EQ(json(counts), manifest_["counts"]);
  EXPECT_GE(texts.size(), 5000u);
  for (const auto& [kind, count] : counts) {
    if (kind != "long_runs") {
      EXPECT_GE(count, 300) << kind;
    }
  }
}

TEST_F(TokenizerGoldenTest, Ids) {
  int failures = 0;
  for (const json& entry : cases_) {
    if (!entry.contains("ids") || entry["kind"] == "decode") continue;
    const std::string text = entry["text"];
    const std::vector<TokenId> expected = entry["ids"];
    const std::vector<TokenId> actual = Encode(text);
    if (actual != expected && ++failures <= 10) {
      ADD_FAILURE() << entry["kind"] << " " << json(text).dump(-1, ' ', true) << "\nexpected "
                    << json(expected).dump() << "\nactual   " << json(actual).dump();
    }
    // Decoding gives the text back, but for what normalizing changed.
    if (text.find('<') == std::string::npos) {
      ASSERT_EQ(Stream(actual, false), NormalizeNfc(text));
    }
  }
  EXPECT_EQ(failures, 0);
}

TEST_F(TokenizerGoldenTest, LongRuns) {
  for (const json& entry : cases_) {
    if (!entry.contains("repeat")) continue;
    const std::string unit = entry["repeat"][0];
    std::string text;
    for (int i = entry["repeat"][1]; i > 0; --i) text += unit;
    const std::vector<TokenId> ids = Encode(text);
    std::string packed(ids.size() * sizeof(TokenId), '\0');
    std::memcpy(packed.data(), ids.data(), packed.size());  // little endian, as every target is
    EXPECT_EQ(ids.size(), entry["count"]) << entry["repeat"];
    EXPECT_EQ(Sha256Hex(packed), entry["sha256"]) << entry["repeat"];
  }
}

TEST_F(TokenizerGoldenTest, DecodesAsPythonDoes) {
  for (const json& entry : cases_) {
    if (entry["kind"] != "decode") continue;
    const std::vector<TokenId> ids = entry["ids"];
    const bool skip_special = entry["skip_special"];
    ASSERT_EQ(tokenizer_->Decode(ids, skip_special), entry["text"]) << entry["ids"];
    ASSERT_EQ(Stream(ids, skip_special), entry["text"]) << entry["ids"];
  }
}

TEST_F(TokenizerGoldenTest, RandomIdsStreamAsTheWhole) {
  std::mt19937 rng(17);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> ids(rng() % 40);
    for (TokenId& id : ids) {
      id = static_cast<TokenId>(rng() % static_cast<unsigned>(tokenizer_->vocab_size() + 100));
    }
    const bool skip_special = rng() % 2 == 0;
    ASSERT_EQ(Stream(ids, skip_special), tokenizer_->Decode(ids, skip_special));
  }
}

TEST_F(TokenizerGoldenTest, EveryTokenHasItsBytesAndSpelling) {
  EXPECT_EQ(tokenizer_->vocab_size(), 151669);
  EXPECT_EQ(tokenizer_->TokenString(271), "\u010A\u010A");
  EXPECT_EQ(tokenizer_->TokenBytes(271), "\n\n");
  EXPECT_EQ(tokenizer_->AddedTokenId("<think>"), 151667);
  EXPECT_FALSE(tokenizer_->IsSpecial(151667));
  EXPECT_TRUE(tokenizer_->IsSpecial(*tokenizer_->AddedTokenId("<|im_end|>")));
  for (TokenId id = 0; id < tokenizer_->vocab_size(); ++id) {
    ASSERT_TRUE(tokenizer_->TokenBytes(id).has_value()) << id;
    ASSERT_FALSE(tokenizer_->TokenBytes(id)->empty()) << id;
    ASSERT_TRUE(tokenizer_->TokenString(id).has_value()) << id;
  }
}

}  // namespace
}  // namespace sluice::gateway
