// SPDX-License-Identifier: Apache-2.0
#include "worker/vocabulary/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/qwen3_dir.h"

namespace sluice::worker {
namespace {

using ::testing::HasSubstr;

std::string Tokenizer(const std::string& vocab, const std::string& added,
                      const std::string& type = "BPE") {
  return R"({"version": "1.0", "added_tokens": [)" + added + R"(],
             "model": {"type": ")" +
         type + R"(", "vocab": {)" + vocab + R"(}, "merges": [["a", "b"], ["id", "5"]]}})";
}

std::string Message(const std::string& json) {
  return std::string(Vocabulary::Parse(json, "tokenizer.json").status().message());
}

TEST(VocabularyTest, DecodesByteLevelAndKeepsAddedTokensAsText) {
  // "Ġ" is a space, "Ċ" a newline, "Ã©" the two bytes of e acute, "Ń" the last of the moved bytes
  // (0xAD).
  const auto vocabulary =
      Vocabulary::Parse(Tokenizer(R"("Ġthe": 0, "Ċ": 1, "Ã©": 2, "Ń": 3, "a": 4)",
                                  R"({"id": 6, "content": "<é>", "special": true, "lstrip": false},
                   {"id": 7, "content": "<think>", "special": false})"),
                        "tokenizer.json");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ((*vocabulary)->size(), 8);
  EXPECT_EQ((*vocabulary)->Bytes(0), " the");
  EXPECT_EQ((*vocabulary)->Bytes(1), "\n");
  EXPECT_EQ((*vocabulary)->Bytes(2), "\xc3\xa9");
  EXPECT_EQ((*vocabulary)->Bytes(3), "\xad");
  EXPECT_EQ((*vocabulary)->Bytes(5), "");  // nothing defines it
  EXPECT_EQ((*vocabulary)->Bytes(6), "<é>");
  EXPECT_TRUE((*vocabulary)->IsSpecial(6));
  EXPECT_TRUE((*vocabulary)->IsAdded(7));
  EXPECT_FALSE((*vocabulary)->IsSpecial(7));
  EXPECT_FALSE((*vocabulary)->IsAdded(4));
  EXPECT_EQ((*vocabulary)->FindAdded("<think>"), 7);
  EXPECT_EQ((*vocabulary)->FindAdded("<thin"), std::nullopt);
}

TEST(VocabularyTest, AddedTokensInTheVocabularyAreText) {
  const auto vocabulary = Vocabulary::Parse(
      Tokenizer(R"("a": 0, "< >": 1)", R"({"id": 1, "content": "< >", "special": true})"),
      "tokenizer.json");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ((*vocabulary)->Bytes(1), "< >");
}

TEST(VocabularyTest, NamesWhatIsWrong) {
  EXPECT_THAT(Message("{"), HasSubstr("tokenizer.json: it is not valid JSON at byte"));
  EXPECT_THAT(Message("{}"), HasSubstr("a BPE vocabulary is needed"));
  EXPECT_THAT(Message(Tokenizer(R"("a": 0)", "", "Unigram")),
              HasSubstr("model.type is 'Unigram' with 1 tokens"));
  EXPECT_THAT(Message(Tokenizer(R"("a": 0, "b": 0)", "")), HasSubstr("the id 0 twice"));
  EXPECT_THAT(Message(Tokenizer(R"("a": -1)", "")),
              HasSubstr("the id of 'a' is not a whole number"));
  EXPECT_THAT(Message(Tokenizer(R"("a": "0")", "")), HasSubstr("not a whole number"));
  EXPECT_THAT(Message(Tokenizer(R"("a": 9999999)", "")), HasSubstr("9999999 is too large"));
  EXPECT_THAT(Message(Tokenizer(R"("a b": 0)", "")), HasSubstr("not in the byte-level alphabet"));
  EXPECT_THAT(Message(Tokenizer(R"("漢": 0)", "")), HasSubstr("not in the byte-level alphabet"));
  EXPECT_THAT(Message(Tokenizer(R"("a": 0)", R"({"content": "x"})")), HasSubstr("lacks id"));
  EXPECT_THAT(Message(Tokenizer(R"("a": 0)", R"({"id": 1, "content": "x"},
                                                {"id": 1, "content": "y"})")),
              HasSubstr("repeats the id 1"));
  EXPECT_THAT(Message(std::string(1000, '[')), HasSubstr("nested too deep"));
  EXPECT_EQ(Vocabulary::Load("/nonexistent/tokenizer.json").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(VocabularyTest, ReadsTheRealTokenizer) {
  const std::string path = sluice::testing::Qwen3TokenizerJson();
  if (path.empty()) GTEST_SKIP() << "neither SLUICE_QWEN3_DIR nor tests/golden/qwen3 is there";
  const auto vocabulary = Vocabulary::Load(path);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ((*vocabulary)->size(), 151669);
  EXPECT_EQ((*vocabulary)->sha256(),
            "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4");
  EXPECT_EQ((*vocabulary)->FindAdded("<|im_end|>"), 151645);
  EXPECT_FALSE((*vocabulary)->IsSpecial(151668));  // </think>
  EXPECT_EQ((*vocabulary)->Bytes(785), "The");
  EXPECT_EQ((*vocabulary)->Bytes(6722), " capital");
  EXPECT_EQ((*vocabulary)->Bytes(108386), "你好");
  // All 256 bytes are there, one token each.
  std::vector<int> single(256);
  for (TokenId id = 0; id < (*vocabulary)->size(); ++id) {
    const std::string& bytes = (*vocabulary)->Bytes(id);
    EXPECT_FALSE(bytes.empty()) << id;
    if (bytes.size() == 1) ++single[static_cast<unsigned char>(bytes[0])];
  }
  EXPECT_THAT(single, ::testing::Each(1));
}

}  // namespace
}  // namespace sluice::worker
