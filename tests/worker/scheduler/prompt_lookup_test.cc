// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/prompt_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace sluice::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int kAll = std::numeric_limits<int>::max() / 2;

std::vector<TokenId> GuessOf(const std::vector<TokenId>& ids, int num_ids,
                             PromptLookupOptions options = {}) {
  PromptLookup lookup(options);
  EXPECT_TRUE(lookup.Read(ids, kAll));
  return lookup.Guess(ids, num_ids);
}

// The rule by itself: looks at every place of every n-gram.
std::vector<TokenId> BruteForce(const std::vector<TokenId>& ids, int num_ids,
                                PromptLookupOptions options) {
  const int size = static_cast<int>(ids.size());
  for (int n = options.max_ngram; n >= options.min_ngram; --n) {
    for (int end = size - 2; end >= n - 1; --end) {
      bool same = size >= n;
      for (int i = 0; same && i < n; ++i) same = ids[end - i] == ids[size - 1 - i];
      if (!same) continue;
      std::vector<TokenId> all = ids;
      for (int i = 0; i < num_ids; ++i) all.push_back(all[end + 1 + i]);
      return {all.begin() + size, all.end()};
    }
  }
  return {};
}

TEST(PromptLookupTest, ContinuesFromTheLongestMatch) {
  // 2 3 stood twice: after 1 2 3 came 7, later after 9 2 3 came 8.
  EXPECT_THAT(GuessOf({1, 2, 3, 7, 9, 2, 3, 8, 1, 2, 3}, 2), ElementsAre(7, 9));
}

TEST(PromptLookupTest, OfEqualMatchesTheMostRecentCounts) {
  EXPECT_THAT(GuessOf({1, 2, 7, 1, 2, 8, 5, 1, 2}, 3), ElementsAre(8, 5, 1));
}

TEST(PromptLookupTest, FollowsALoopBeyondItsEnd) {
  EXPECT_THAT(GuessOf({4, 5, 6, 5, 6}, 5), ElementsAre(5, 6, 5, 6, 5));
  EXPECT_THAT(GuessOf({3, 3, 3}, 4), ElementsAre(3, 3, 3, 3));
}

TEST(PromptLookupTest, NothingRepeatsNothingIsGuessed) {
  EXPECT_THAT(GuessOf({}, 4), IsEmpty());
  EXPECT_THAT(GuessOf({1}, 4), IsEmpty());
  EXPECT_THAT(GuessOf({1, 2, 3, 4, 2}, 4), IsEmpty()) << "one id alone is no match";
  EXPECT_THAT(GuessOf({1, 2, 3, 4, 2}, 4, {.min_ngram = 1, .max_ngram = 1}),
              ElementsAre(3, 4, 2, 3));
}

TEST(PromptLookupTest, ReadsInParts) {
  const std::vector<TokenId> ids = {1, 2, 7, 8, 1, 2};
  PromptLookup lookup;
  EXPECT_FALSE(lookup.Read(ids, 2));
  EXPECT_FALSE(lookup.Read(ids, 2));
  EXPECT_TRUE(lookup.Read(ids, 2));
  EXPECT_THAT(lookup.Guess(ids, 2), ElementsAre(7, 8));
}

TEST(PromptLookupTest, AgreesWithBruteForceOnRandomSequences) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    const PromptLookupOptions options{.min_ngram = 1 + static_cast<int>(seed % 3),
                                      .max_ngram = 3 + static_cast<int>(seed % 4)};
    const uint64_t alphabet = 1 + random() % 12;
    PromptLookup lookup(options);
    std::vector<TokenId> ids;
    int num_guesses = 0;
    while (ids.size() < 300) {
      // New ids, and now and then a stretch that was there before.
      const size_t stretch = 1 + random() % 12;
      const size_t from = ids.empty() ? 0 : random() % ids.size();
      const bool repeats = !ids.empty() && random() % 3 == 0;
      for (size_t i = 0; i < stretch; ++i) {
        ids.push_back(repeats ? ids[from + i] : static_cast<TokenId>(random() % alphabet));
        if (random() % 2 == 0) continue;  // several ids between two steps
        while (!lookup.Read(ids, 1 + static_cast<int>(random() % 5))) {
        }
        const std::vector<TokenId> expected = BruteForce(ids, 6, options);
        ASSERT_EQ(lookup.Guess(ids, 6), expected) << "seed " << seed << ", ids " << ids.size();
        num_guesses += expected.empty() ? 0 : 1;
      }
    }
    EXPECT_GT(num_guesses, 10) << "seed " << seed;
  }
}

TEST(PromptLookupTest, MemoryIsBoundedByTheIdsRead) {
  std::mt19937_64 random(1);
  std::vector<TokenId> ids(100'000);
  for (TokenId& id : ids) id = static_cast<TokenId>(random() % 150'000);
  PromptLookup lookup;
  EXPECT_TRUE(lookup.Read(ids, kAll));
  EXPECT_LE(lookup.memory_bytes(), ids.size() * 3 * 16);
  PromptLookup loop;
  std::fill(ids.begin(), ids.end(), 5);
  EXPECT_TRUE(loop.Read(ids, kAll));
  EXPECT_LE(loop.memory_bytes(), 4096u) << "what repeats takes no more";
}

}  // namespace
}  // namespace sluice::worker
