// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/gateway/tokenizer/small_tokenizer_json.h"

namespace sluice::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::unique_ptr<const Tokenizer> FromJson(const nlohmann::ordered_json& json) {
  auto tokenizer = Tokenizer::FromJson(json.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

// "ab" is 256, "abc" 257, then the added tokens.
std::unique_ptr<const Tokenizer> Small(const std::vector<std::string>& added = {}) {
  return FromJson(SmallTokenizerJson({{"a", "b"}, {"ab", "c"}}, added));
}

std::vector<TokenId> Encode(const Tokenizer& tokenizer, std::string_view text,
                            std::vector<ByteRange> plain = {}) {
  const auto ids = tokenizer.Encode(text, plain);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return *ids;
}

TEST(TokenizerTest, EncodesPieceByPiece) {
  const auto tokenizer = Small();
  EXPECT_THAT(Encode(*tokenizer, ""), IsEmpty());
  EXPECT_THAT(Encode(*tokenizer, "abcab1"), ElementsAre(257, 256, '1'));
  EXPECT_THAT(Encode(*tokenizer, "e\u0301"), ElementsAre(0xC3, 0xA9)) << "NFC comes first";
}

TEST(TokenizerTest, RefusesInvalidUtf8WithItsPlace) {
  const auto ids = Small()->Encode("ab\xE4\xBD");
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ids.status().message()), HasSubstr("not valid UTF-8 at byte 2"));
}

TEST(TokenizerTest, TakesTheLeftmostAndLongestAddedToken) {
  const auto tokenizer = Small({"<a", "<a>", "a>b", "<|x|>"});  // 258..261
  EXPECT_THAT(Encode(*tokenizer, "<a>b"), ElementsAre(259, 'b'));
  EXPECT_THAT(Encode(*tokenizer, "<a<a>"), ElementsAre(258, 259));
  EXPECT_THAT(Encode(*tokenizer, "a>b"), ElementsAre(260));
  EXPECT_THAT(Encode(*tokenizer, "x<|x|>y"), ElementsAre('x', 261, 'y'));
  EXPECT_THAT(Encode(*tokenizer, "ab<|x|>c"), ElementsAre(256, 261, 'c')) << "no merge across";
}

// Normalizing does not reach across an added token, and does not make one.
TEST(TokenizerTest, MatchesAddedTokensInRawText) {
  const auto tokenizer = Small({"<t>", "\u00E9\u4E2D"});
  EXPECT_THAT(Encode(*tokenizer, "<t>\u0301"), ElementsAre(258, 0xCC, 0x81));
  EXPECT_THAT(Encode(*tokenizer, "\u00E9\u4E2D"), ElementsAre(259));
  EXPECT_THAT(Encode(*tokenizer, "e\u0301\u4E2D"), ElementsAre(0xC3, 0xA9, 0xE4, 0xB8, 0xAD));
}

TEST(TokenizerTest, PlainRangesHideAddedTokens) {
  const auto tokenizer = Small({"<t>", "<t>x", "t>"});  // 258..260
  EXPECT_THAT(Encode(*tokenizer, "<t><t>", {{0, 3}}), ElementsAre('<', 't', '>', 258));
  EXPECT_THAT(Encode(*tokenizer, "<t><t>", {{2, 4}}), ElementsAre('<', 't', '>', '<', 260))
      << "one byte is enough";
  EXPECT_THAT(Encode(*tokenizer, "<t>x", {{3, 4}}), ElementsAre(258, 'x'))
      << "a shorter token beside the range is taken";
  EXPECT_THAT(Encode(*tokenizer, "<t>", {{0, 0}, {1, 1}, {3, 3}}), ElementsAre(258))
      << "empty ranges hide nothing";
  EXPECT_THAT(Encode(*tokenizer, "abc", {{0, 1}, {2, 3}}), ElementsAre(257))
      << "nothing else depends on the ranges";
}

TEST(TokenizerTest, RefusesRangesThatAreNotSortedOrWithinTheText) {
  const auto tokenizer = Small();
  for (const std::vector<ByteRange>& plain :
       {std::vector<ByteRange>{{0, 4}}, {{2, 1}}, {{1, 2}, {0, 1}}, {{0, 2}, {1, 3}}}) {
    EXPECT_EQ(tokenizer->Encode("abc", plain).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(TokenizerTest, IgnoreMergesTakesWholePieces) {
  auto json = SmallTokenizerJson({{"b", "c"}, {"a", "b"}, {"ab", "c"}});  // "abc" is 258
  EXPECT_THAT(Encode(*FromJson(json), "abc abc"), ElementsAre('a', 256, ' ', 'a', 256));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(Encode(*FromJson(json), "abc abc"), ElementsAre(258, ' ', 'a', 256));
}

// Merges out of order go to the merge loop; the ids are BPE's all the same.
TEST(TokenizerTest, EncodesWithUntrainedMerges) {
  const auto tokenizer = FromJson(SmallTokenizerJson({{"ab", "c"}, {"a", "b"}}));
  EXPECT_THAT(Encode(*tokenizer, "abcab"), ElementsAre(256, 257));
}

TEST(TokenizerTest, KnowsItsTokens) {
  const auto tokenizer = Small({"<|x|>", "<t>"});
  EXPECT_EQ(tokenizer->vocab_size(), 260);
  EXPECT_EQ(tokenizer->TokenBytes(257), "abc");
  EXPECT_EQ(tokenizer->TokenBytes(' '), " ");
  EXPECT_EQ(tokenizer->TokenString(' '), "\u0120");
  EXPECT_EQ(tokenizer->TokenBytes(259), "<t>");
  EXPECT_EQ(tokenizer->TokenString(259), "<t>");
  EXPECT_EQ(tokenizer->TokenBytes(260), std::nullopt);
  EXPECT_EQ(tokenizer->TokenBytes(-1), std::nullopt);
  EXPECT_EQ(tokenizer->TokenString(260), std::nullopt);
  EXPECT_EQ(tokenizer->AddedTokenId("<t>"), 259);
  EXPECT_EQ(tokenizer->AddedTokenId("ab"), std::nullopt);
  EXPECT_TRUE(tokenizer->IsAdded(258));
  EXPECT_TRUE(tokenizer->IsSpecial(258));
  EXPECT_TRUE(tokenizer->IsAdded(259));
  EXPECT_FALSE(tokenizer->IsSpecial(259));
  EXPECT_FALSE(tokenizer->IsAdded(257));
  ASSERT_EQ(tokenizer->added_tokens().size(), 2u);
  EXPECT_EQ(tokenizer->added_tokens()[1].content, "<t>");
}

TEST(TokenizerTest, Decodes) {
  const auto tokenizer = Small({"<|x|>", "<t>"});
  const std::vector<TokenId> ids = {257, 258, 0xE4, 259, 0xBD, 9999, -3, 0xE5, 0xAD};
  EXPECT_EQ(tokenizer->Decode(ids, false), "abc<|x|>\uFFFD<t>\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer->Decode(ids, true), "abc\uFFFD<t>\uFFFD\uFFFD");
  const std::vector<TokenId> around_special = {0xE5, 258, 0xAD, 0x97};
  EXPECT_EQ(tokenizer->Decode(around_special, true), "\u5B57") << "skipped ids leave no gap";
}

// Under the thread sanitizer this is the proof that encoding shares nothing unguarded.
TEST(TokenizerTest, EncodesOnManyThreads) {
  std::mt19937 rng(3);
  const auto tokenizer = FromJson(SmallTokenizerJson(RandomMerges(rng, 60, "abcd")));
  std::vector<std::string> texts;
  std::vector<std::vector<TokenId>> expected;
  for (int i = 0; i < 50; ++i) {
    std::string text;
    while (text.size() < 300) text += "abcd"[rng() % 4];
    expected.push_back(Encode(*tokenizer, text));
    texts.push_back(std::move(text));
  }
  std::vector<int> equal(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < texts.size(); ++i) {
        equal[t] += *tokenizer->Encode(texts[i]) == expected[i];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(equal, ::testing::Each(50));
}

}  // namespace
}  // namespace sluice::gateway
