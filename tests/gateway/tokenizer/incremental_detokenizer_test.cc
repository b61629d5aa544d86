// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/incremental_detokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "gateway/tokenizer/utf8.h"
#include "tests/gateway/tokenizer/small_tokenizer_json.h"

namespace sluice::gateway {
namespace {

std::unique_ptr<const Tokenizer> Small() {
  // Tokens that begin and end inside of characters.
  const ByteMerges merges = {{"\xF0", "\x9F"}, {"\xF0\x9F", "\x98"}, {"\x80", "a"},
                             {"\xE5", "\xAD"}, {"\x97", "\xE5"},     {"\xED", "\xA0"},
                             {"b", "\xC3"}};
  auto tokenizer = Tokenizer::FromJson(SmallTokenizerJson(merges, {"<|x|>", "<t>"}).dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(IncrementalDetokenizerTest, HoldsBackOnlyAnIncompleteCharacter) {
  const auto tokenizer = Small();
  IncrementalDetokenizer stream(*tokenizer, true);
  EXPECT_EQ(stream.Append('a'), "a");
  EXPECT_EQ(stream.Append(0xF0), "");
  EXPECT_EQ(stream.Append(0x9F), "");
  EXPECT_EQ(stream.Append(0x98), "");
  EXPECT_EQ(stream.Append(0x80), "\U0001F600");
  EXPECT_EQ(stream.Append(0xE5), "");
  EXPECT_EQ(stream.Append('x'), "\uFFFDx") << "an impossible sequence is replaced at once";
  EXPECT_EQ(stream.Append(0xFF), "\uFFFD");
  EXPECT_EQ(stream.Append(9999), "") << "an unknown id";
  EXPECT_EQ(stream.Flush(), "");
  EXPECT_EQ(stream.Append(0xE5), "");
  EXPECT_EQ(stream.Flush(), "\uFFFD");
  EXPECT_EQ(stream.Flush(), "");
}

TEST(IncrementalDetokenizerTest, ARealReplacementCharacterIsText) {
  const auto tokenizer = Small();
  IncrementalDetokenizer stream(*tokenizer, true);
  EXPECT_EQ(stream.Append(0xEF), "");
  EXPECT_EQ(stream.Append(0xBF), "");
  EXPECT_EQ(stream.Append(0xBD), "\uFFFD");
}

TEST(IncrementalDetokenizerTest, JoinedOutputIsTheDecodedWhole) {
  const auto tokenizer = Small();
  std::mt19937 rng(5);
  for (int round = 0; round < 4000; ++round) {
    std::vector<TokenId> ids;
    for (size_t size = rng() % 30; size > 0; --size) {
      // Half of them from the interesting end of the vocabulary; some unknown.
      const TokenId limit = tokenizer->vocab_size() + 2;
      ids.push_back(
          static_cast<TokenId>(rng() % 2 == 0 ? 250 + rng() % (limit - 250) : rng() % limit));
    }
    const bool skip_special = rng() % 2 == 0;
    IncrementalDetokenizer stream(*tokenizer, skip_special);
    std::string joined;
    for (TokenId id : ids) {
      const std::string text = stream.Append(id);
      size_t valid = 0;
      while (valid < text.size()) {
        const Utf8Prefix prefix = ClassifyUtf8(std::string_view(text).substr(valid));
        ASSERT_EQ(prefix.kind, Utf8Prefix::Kind::kValid) << "every piece is UTF-8 of its own";
        valid += prefix.bytes;
      }
      joined += text;
    }
    joined += stream.Flush();
    ASSERT_EQ(joined, tokenizer->Decode(ids, skip_special)) << "round " << round;
  }
}

}  // namespace
}  // namespace sluice::gateway
