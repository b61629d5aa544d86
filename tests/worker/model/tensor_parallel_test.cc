// SPDX-License-Identifier: Apache-2.0
// Bits do not depend on how a computation is cut: over ranks, threads, batches or chunks.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/worker/model/model_runner.h"

namespace sluice::worker {
namespace {

using Logits = std::vector<std::vector<float>>;

constexpr int kVocab = 2048;

std::vector<std::vector<TokenId>> Prompts(int count, int tokens) {
  std::vector<std::vector<TokenId>> prompts;
  for (int i = 0; i < count; ++i) {
    prompts.push_back(RandomIds(static_cast<uint64_t>(i) + 1, tokens, kVocab));
  }
  return prompts;
}

// Equal as bits, not as numbers: -0.0 is not 0.0 here.
void ExpectSameBits(const Logits& a, const Logits& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].size(), b[i].size());
    EXPECT_EQ(std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)), 0)
        << what << ", prompt " << i;
  }
}

class BitIdentityTest : public testing::TestWithParam<const char*> {
 protected:
  std::string dir() const { return ParityDir(GetParam()); }
};

TEST_P(BitIdentityTest, TensorParallelSizesAgreeOnTwentyPrompts) {
  const auto prompts = Prompts(20, 64);
  const Logits one = RunModel({.dir = dir(), .prompts = prompts});
  for (const int tp_size : {2, 4}) {
    const Logits sharded = RunModel({.dir = dir(), .tp_size = tp_size, .prompts = prompts});
    ExpectSameBits(one, sharded, "tp-size " + std::to_string(tp_size));
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(ArgMax(&one[i][63 * kVocab], kVocab), ArgMax(&sharded[i][63 * kVocab], kVocab));
    }
  }
}

TEST_P(BitIdentityTest, APromptDoesNotNoticeItsBatch) {
  const auto prompts = Prompts(5, 100);
  const Logits together = RunModel({.dir = dir(), .prompts = prompts});
  for (size_t i = 0; i < prompts.size(); ++i) {
    ExpectSameBits({together[i]}, RunModel({.dir = dir(), .prompts = {prompts[i]}}), "alone");
  }
}

TEST_P(BitIdentityTest, ChunksAndThreadsDoNotShow) {
  const auto prompts = Prompts(2, 150);  // three pages
  const Logits whole = RunModel({.dir = dir(), .prompts = prompts});
  for (const std::vector<int>& chunks :
       {std::vector<int>{1}, std::vector<int>{63, 1, 2, 64}, std::vector<int>{128, 1}}) {
    ExpectSameBits(whole, RunModel({.dir = dir(), .prompts = prompts, .chunks = chunks}),
                   "chunks of " + std::to_string(chunks[0]));
  }
  ExpectSameBits(whole, RunModel({.dir = dir(), .threads = 3, .prompts = prompts}), "threads");
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, BitIdentityTest,
                         testing::Values("grouped_untied", "plain_tied"));

}  // namespace
}  // namespace sluice::worker
