// SPDX-License-Identifier: Apache-2.0
// The two encoders against each other: MergeLoop runs the merges as BPE is defined,
// BacktrackingEncoder must give the same ids wherever it accepts the vocabulary.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "gateway/tokenizer/backtracking_encoder.h"
#include "gateway/tokenizer/merge_loop.h"
#include "gateway/tokenizer/tokenizer_json.h"
#include "gateway/tokenizer/vocabulary.h"
#include "tests/gateway/tokenizer/small_tokenizer_json.h"

namespace sluice::gateway {
namespace {

Vocabulary MakeVocabulary(const ByteMerges& merges) {
  const auto json = ParseTokenizerJson(SmallTokenizerJson(merges).dump());
  EXPECT_TRUE(json.ok()) << json.status();
  auto vocabulary = Vocabulary::Create(*json);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  return *std::move(vocabulary);
}

std::string RandomText(std::mt19937& rng, const std::string& alphabet, size_t size) {
  std::string text;
  while (text.size() < size) {
    // Runs, since equal neighbours are where leftmost-first matters.
    text.append(1 + rng() % (rng() % 4 == 0 ? 9 : 2), alphabet[rng() % alphabet.size()]);
  }
  return text;
}

std::vector<TokenId> ByMergeLoop(const Vocabulary& vocabulary, std::string_view text) {
  std::vector<TokenId> ids;
  MergeLoop(vocabulary).Encode(text, ids);
  return ids;
}

TEST(MergeLoopTest, MergesTheLowestRankFirstAndTheLeftmostOfEqualOnes) {
  const Vocabulary vocabulary = MakeVocabulary({{"b", "c"}, {"a", "b"}, {"a", "a"}, {"aa", "a"}});
  EXPECT_EQ(ByMergeLoop(vocabulary, "abc"), (std::vector<TokenId>{'a', 256}));
  EXPECT_EQ(ByMergeLoop(vocabulary, "abab"), (std::vector<TokenId>{257, 257}));
  EXPECT_EQ(ByMergeLoop(vocabulary, "aaa"), (std::vector<TokenId>{259}));
  EXPECT_EQ(ByMergeLoop(vocabulary, "aaaaa"), (std::vector<TokenId>{258, 259}));
}

TEST(BacktrackingEncoderTest, EqualsTheMergeLoopOnRandomVocabularies) {
  std::mt19937 rng(7);
  for (int round = 0; round < 150; ++round) {
    const std::string alphabet = std::string("abcdef").substr(0, 1 + rng() % 5);
    const Vocabulary vocabulary =
        MakeVocabulary(RandomMerges(rng, static_cast<int>(1 + rng() % 60), alphabet));
    const MergeLoop loop(vocabulary);
    const auto encoder = BacktrackingEncoder::Create(vocabulary);
    ASSERT_NE(encoder, nullptr);
    for (int i = 0; i < 60; ++i) {
      const std::string text = RandomText(rng, alphabet, 1 + rng() % 80);
      std::vector<TokenId> expected;
      std::vector<TokenId> actual = {-1};  // what was there stays
      loop.Encode(text, expected);
      encoder->Encode(text, actual);
      ASSERT_EQ(actual.front(), -1);
      actual.erase(actual.begin());
      ASSERT_EQ(actual, expected) << "round " << round << ", text " << text;
    }
  }
}

// Many positions are given up on the way through such a text.
TEST(BacktrackingEncoderTest, EqualsTheMergeLoopOnLongRuns) {
  std::mt19937 rng(11);
  const Vocabulary vocabulary = MakeVocabulary(RandomMerges(rng, 40, "ab"));
  const MergeLoop loop(vocabulary);
  const auto encoder = BacktrackingEncoder::Create(vocabulary);
  ASSERT_NE(encoder, nullptr);
  for (const std::string unit : {"a", "b", "ab", "aab", "abbbb"}) {
    std::string text;
    while (text.size() < 20000) text += unit;
    std::vector<TokenId> expected;
    std::vector<TokenId> actual;
    loop.Encode(text, expected);
    encoder->Encode(text, actual);
    ASSERT_EQ(actual, expected) << unit;
  }
}

// A token that its own bytes are not encoded to is never produced.
TEST(BacktrackingEncoderTest, SkipsUnreachableTokens) {
  // "abc" is made of "ab" and "c", but "bc" is older than "ab".
  const Vocabulary vocabulary = MakeVocabulary({{"b", "c"}, {"a", "b"}, {"ab", "c"}});
  const auto encoder = BacktrackingEncoder::Create(vocabulary);
  ASSERT_NE(encoder, nullptr);
  std::vector<TokenId> ids;
  encoder->Encode("abc", ids);
  EXPECT_EQ(ids, ByMergeLoop(vocabulary, "abc"));
  EXPECT_EQ(ids, (std::vector<TokenId>{'a', 256}));
}

TEST(BacktrackingEncoderTest, RefusesMergesThatAreNotInOrderOfTheirParts) {
  EXPECT_EQ(BacktrackingEncoder::Create(MakeVocabulary({{"ab", "c"}, {"a", "b"}})), nullptr)
      << "a part that is made later";
  EXPECT_EQ(BacktrackingEncoder::Create(
                MakeVocabulary({{"a", "b"}, {"b", "c"}, {"ab", "c"}, {"a", "bc"}})),
            nullptr)
      << "one token made in two ways";
}

}  // namespace
}  // namespace sluice::gateway
