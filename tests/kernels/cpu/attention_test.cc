// SPDX-License-Identifier: Apache-2.0
// Paged attention against its oracle bit for bit, and the oracle against double precision.
#include "kernels/cpu/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cpu/reference/attention_reference.h"
#include "tests/kernels/cpu/isa_fixture.h"

namespace sluice::kernels::cpu {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A pool of pages full of NaN, and rows of random keys and values written into shuffled pages.
struct World {
  World(int kv_heads, int dim, const std::vector<int>& row_lengths, uint32_t seed)
      : rng(seed), lengths(row_lengths) {
    int total = 1;
    for (int length : lengths) total += (length + kKvPageSlots - 1) / kKvPageSlots;
    pages.num_kv_heads = kv_heads;
    pages.head_dim = dim;
    key_store.assign(total * pages.page_floats(), kNan);
    value_store.assign(total * pages.page_floats(), kNan);
    pages.keys = key_store.data();
    pages.values = value_store.data();
    std::vector<int32_t> free(total - 1);
    std::iota(free.begin(), free.end(), 1);
    std::shuffle(free.begin(), free.end(), rng);
    for (int length : lengths) {
      const int count = (length + kKvPageSlots - 1) / kKvPageSlots;
      tables.emplace_back(free.end() - count, free.end());
      free.resize(free.size() - count);
      keys.push_back(RandomNormal(rng, int64_t{length} * kv_heads * dim));
      values.push_back(RandomNormal(rng, int64_t{length} * kv_heads * dim));
    }
  }

  TokenPlace Place(int row, int position) const { return {tables[row].data(), position}; }

  void Write(int row, int begin, int end, ThreadPool& pool) {
    const int64_t width = int64_t{pages.num_kv_heads} * pages.head_dim;
    std::vector<TokenPlace> places;
    for (int position = begin; position < end; ++position) places.push_back(Place(row, position));
    WriteKv(pages, places.data(), end - begin, keys[row].data() + begin * width,
            values[row].data() + begin * width, width, pool);
  }

  // The oracle for one query head.
  std::vector<float> Expected(int row, int position, int kv_head, const std::vector<float>& q,
                              float scale) const {
    std::vector<float> k, v;
    const int dim = pages.head_dim;
    for (int t = 0; t <= position; ++t) {
      const int64_t at = (int64_t{t} * pages.num_kv_heads + kv_head) * dim;
      k.insert(k.end(), keys[row].begin() + at, keys[row].begin() + at + dim);
      v.insert(v.end(), values[row].begin() + at, values[row].begin() + at + dim);
    }
    return reference::Attention(q, k, v, scale);
  }

  std::mt19937 rng;
  std::vector<int> lengths;
  KvPages pages;
  std::vector<float> key_store, value_store;
  std::vector<std::vector<int32_t>> tables;
  std::vector<std::vector<float>> keys, values;  // per row [length][kv_heads][dim]
};

class AttentionTest : public IsaTest {};
INSTANTIATE_TEST_SUITE_P(Isas, AttentionTest, AllIsas(), IsaTestName);

// Runs a batch of (row, position) and compares every head with the oracle.
void CheckBatch(const World& world, int group, const std::vector<std::pair<int, int>>& tokens,
                const std::vector<float>& q, float scale, ThreadPool& pool) {
  const int dim = world.pages.head_dim;
  const int heads = world.pages.num_kv_heads * group;
  std::vector<TokenPlace> places;
  for (auto [row, position] : tokens) places.push_back(world.Place(row, position));
  std::vector<float> out(q.size(), -1.0f);
  PagedAttention(world.pages, places.data(), static_cast<int64_t>(tokens.size()), q.data(),
                 int64_t{heads} * dim, heads, scale, out.data(), int64_t{heads} * dim, pool);
  for (size_t t = 0; t < tokens.size(); ++t) {
    for (int head = 0; head < heads; ++head) {
      const int64_t at = (static_cast<int64_t>(t) * heads + head) * dim;
      const std::vector<float> query(q.begin() + at, q.begin() + at + dim);
      const std::vector<float> got(out.begin() + at, out.begin() + at + dim);
      ASSERT_TRUE(SameBits(
          got, world.Expected(tokens[t].first, tokens[t].second, head / group, query, scale)))
          << "token " << t << " head " << head << " group " << group << " dim " << dim;
    }
  }
}

TEST_P(AttentionTest, MixedBatchEqualsOracle) {
  struct Shape {
    int kv_heads, group, dim;
  };
  for (const Shape shape :
       {Shape{2, 5, 128}, {1, 8, 64}, {2, 1, 32}, {1, 3, 16}, {1, 2, 48}, {1, 48, 16}}) {
    World world(shape.kv_heads, shape.dim, {1, 64, 65, 130, 200}, 11);
    ThreadPool pool(3);
    for (int row = 0; row < 5; ++row) world.Write(row, 0, world.lengths[row], pool);
    // Decodes of several rows, a prefill chunk across pages, and positions in no helpful order.
    std::vector<std::pair<int, int>> tokens = {{0, 0}, {1, 63}, {2, 64}, {3, 129}, {4, 7}, {4, 3}};
    for (int position = 50; position < 80; ++position) tokens.emplace_back(3, position);
    const std::vector<float> q = RandomNormal(
        world.rng, static_cast<int64_t>(tokens.size()) * shape.kv_heads * shape.group * shape.dim);
    CheckBatch(world, shape.group, tokens, q, 1.0f / std::sqrt(static_cast<float>(shape.dim)),
               pool);
  }
}

// Written and attended in chunks of any size, a token's output is the same; what is not written yet
// is NaN.
TEST_P(AttentionTest, ChunkingDoesNotChangeABit) {
  for (int chunk : {1, 7, 64, 100}) {
    World world(1, 64, {100}, 12);
    ThreadPool pool(2);
    const std::vector<float> q = RandomNormal(world.rng, 100 * 2 * 64);
    for (int begin = 0; begin < 100; begin += chunk) {
      const int end = std::min(100, begin + chunk);
      world.Write(0, begin, end, pool);
      std::vector<std::pair<int, int>> tokens;
      for (int position = begin; position < end; ++position) tokens.emplace_back(0, position);
      CheckBatch(world, 2, tokens, {q.begin() + begin * 128, q.begin() + end * 128}, 0.125f, pool);
    }
  }
}

// A NaN of a later token of the same page stays with the tokens that may see it.
TEST_P(AttentionTest, NanStaysBehindTheMask) {
  World world(1, 32, {40}, 13);
  ThreadPool pool(1);
  for (int i = 0; i < 32; ++i) {
    world.keys[0][30 * 32 + i] = kNan;
    world.values[0][30 * 32 + i] = kNan;
  }
  world.Write(0, 0, 40, pool);
  std::vector<TokenPlace> places;
  for (int position = 20; position < 40; ++position) places.push_back(world.Place(0, position));
  const std::vector<float> q = RandomNormal(world.rng, 20 * 32);
  std::vector<float> out(q.size());
  PagedAttention(world.pages, places.data(), 20, q.data(), 32, 1, 0.2f, out.data(), 32, pool);
  for (int t = 0; t < 20; ++t) {
    for (int d = 0; d < 32; ++d)
      EXPECT_EQ(std::isnan(out[t * 32 + d]), t + 20 >= 30) << t << " " << d;
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  World world(1, 16, {130}, 14);
  ThreadPool pool(1);
  for (float& value : world.keys[0]) value *= 100.0f;
  world.Write(0, 0, 130, pool);
  std::vector<float> q = RandomNormal(world.rng, 16);
  for (float& value : q) value *= 100.0f;
  CheckBatch(world, 1, {{0, 129}}, q, 1.0f, pool);
}

TEST(AttentionAccuracyTest, OracleIsCloseToDouble) {
  std::mt19937 rng(15);
  const int dim = 128, length = 1000;
  const std::vector<float> q = RandomNormal(rng, dim);
  const std::vector<float> k = RandomNormal(rng, int64_t{length} * dim);
  const std::vector<float> v = RandomNormal(rng, int64_t{length} * dim);
  const float scale = 1.0f / std::sqrt(128.0f);
  std::vector<double> p(length);
  double sum = 0.0;
  for (int t = 0; t < length; ++t) {
    double score = 0.0;
    for (int d = 0; d < dim; ++d) score += static_cast<double>(q[d]) * k[t * dim + d];
    p[t] = std::exp(score * scale);
    sum += p[t];
  }
  const std::vector<float> got = reference::Attention(q, k, v, scale);
  for (int d = 0; d < dim; ++d) {
    double expected = 0.0;
    for (int t = 0; t < length; ++t) expected += p[t] / sum * v[t * dim + d];
    EXPECT_NEAR(got[d], expected, 1e-6);
  }
}

}  // namespace
}  // namespace sluice::kernels::cpu
