// SPDX-License-Identifier: Apache-2.0
// Attention on the GPU against the CPU's, over the same bf16 queries and pages: rows of many
// lengths side by side, page tables in random order, NaN wherever nothing was written.
//
// Tolerance. Scores are fp32 on both sides; the GPU rounds weights to bf16 (2^-9 of each) before
// they meet the values, and the output once more. The output is a mean of values of deviation 1, so
// both together stay below 2^-7 of the largest value that was averaged, about 4. Approximate
// exponentials (2^-22 of each weight) and pieces of contexts, which stay fp32, do not show.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/attention/decode_attention.h"
#include "kernels/attention/prefill_attention.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels::attention {
namespace {

constexpr float kTolerance = 4.0f / 128.0f;
constexpr float kScale = 0.08838834764831845f;  // 128^-0.5

// Rows with keys and values in both worlds.
struct PagedRows {
  int num_kv_heads;
  std::vector<int> lengths;
  int max_pages = 0;
  std::vector<int32_t> tables;  // [rows][max_pages]
  std::vector<float> cpu_keys, cpu_values;
  cpu::KvPages cpu_pages;
  std::vector<__nv_bfloat16> keys, values;

  PagedRows(std::mt19937& rng, std::vector<int> row_lengths, int kv_heads)
      : num_kv_heads(kv_heads), lengths(std::move(row_lengths)) {
    int num_pages = 1;
    for (const int length : lengths) {
      const int pages = (length + kPageSlots - 1) / kPageSlots;
      max_pages = std::max(max_pages, pages);
      num_pages += pages;
    }
    std::vector<int32_t> order;
    for (int page = 1; page < num_pages; ++page) order.push_back(page);
    std::shuffle(order.begin(), order.end(), rng);
    tables.assign(lengths.size() * static_cast<size_t>(max_pages), 0);
    cpu_pages = {nullptr, nullptr, num_kv_heads, kHeadDim};
    const size_t size = static_cast<size_t>(num_pages * cpu_pages.page_floats());
    cpu_keys.assign(size, NAN);
    cpu_values.assign(size, NAN);
    keys.assign(size, __float2bfloat16(NAN));
    values.assign(size, __float2bfloat16(NAN));
    cpu_pages.keys = cpu_keys.data();
    cpu_pages.values = cpu_values.data();
    cpu::ThreadPool pool(1);
    size_t next = 0;
    for (size_t row = 0; row < lengths.size(); ++row) {
      int32_t* table = tables.data() + row * static_cast<size_t>(max_pages);
      for (int i = 0; i * kPageSlots < lengths[row]; ++i) table[i] = order[next++];
      const size_t width = static_cast<size_t>(num_kv_heads) * kHeadDim;
      for (int position = 0; position < lengths[row]; ++position) {
        const std::vector<__nv_bfloat16> k = RandomBf16(rng, width, 1.0f);
        const std::vector<__nv_bfloat16> v = RandomBf16(rng, width, 1.0f);
        const std::vector<float> k_floats = ToFloats(k), v_floats = ToFloats(v);
        const cpu::TokenPlace place = {table, position};
        cpu::WriteKv(cpu_pages, &place, 1, k_floats.data(), v_floats.data(),
                     static_cast<int64_t>(width), pool);
        const KvPages pages = {keys.data(), values.data(), num_kv_heads};
        for (int head = 0; head < num_kv_heads; ++head) {
          const int64_t to =
              pages.Offset(table[position / kPageSlots], head, position % kPageSlots);
          std::copy_n(k.data() + head * kHeadDim, kHeadDim, keys.data() + to);
          std::copy_n(v.data() + head * kHeadDim, kHeadDim, values.data() + to);
        }
      }
    }
  }

  const int32_t* table(size_t row) const {
    return tables.data() + row * static_cast<size_t>(max_pages);
  }
};

void ExpectNear(const std::vector<__nv_bfloat16>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(__bfloat162float(actual[i]), expected[i], kTolerance) << "at " << i;
  }
}

class AttentionTest : public CudaTest {
 protected:
  void Decode(std::vector<int> lengths, int kv_heads, int group) {
    std::mt19937 rng(5);
    const PagedRows rows(rng, lengths, kv_heads);
    // A row of the batch has its pages anywhere in the table.
    std::vector<int32_t> table_rows(lengths.size());
    std::iota(table_rows.begin(), table_rows.end(), 0);
    std::shuffle(table_rows.begin(), table_rows.end(), rng);
    const int num_rows = static_cast<int>(lengths.size()), num_heads = kv_heads * group;
    const size_t width = static_cast<size_t>(num_heads) * kHeadDim;
    const std::vector<__nv_bfloat16> q = RandomBf16(rng, width * lengths.size(), 1.0f);
    const std::vector<float> q_floats = ToFloats(q);
    std::vector<cpu::TokenPlace> places;
    for (size_t row = 0; row < table_rows.size(); ++row) {
      const auto table_row = static_cast<size_t>(table_rows[row]);
      lengths[row] = rows.lengths[table_row];
      places.push_back({rows.table(table_row), std::max(lengths[row] - 1, 0)});
    }
    std::vector<float> expected(q.size());
    cpu::PagedAttention(rows.cpu_pages, places.data(), num_rows, q_floats.data(),
                        static_cast<int64_t>(width), num_heads, kScale, expected.data(),
                        static_cast<int64_t>(width), pool_);

    const DeviceArray<__nv_bfloat16> keys(rows.keys), values(rows.values), q_device(q);
    const DeviceArray<int32_t> tables(rows.tables), table_rows_device(table_rows),
        lengths_device(lengths);
    const DecodeWorkspaceShape shape = {num_rows, kv_heads, num_sms_};
    DecodeWorkspace workspace;
    const DeviceArray<char> memory(DivideDecodeWorkspace(nullptr, shape, &workspace));
    DivideDecodeWorkspace(memory.get(), shape, &workspace);
    DeviceArray<__nv_bfloat16> out(q.size());
    ExpectOk(
        RunDecodePlan({lengths_device.get(), num_rows, kv_heads, num_sms_, workspace}, nullptr));
    CheckCuda(cudaDeviceSynchronize());  // of an earlier chain
    DecodeAttention attention;
    attention.q = q_device.get();
    attention.pages = {keys.get(), values.get(), kv_heads};
    attention.page_tables = tables.get();
    attention.table_rows = table_rows_device.get();
    attention.max_pages = rows.max_pages;
    attention.lengths = lengths_device.get();
    attention.rows = num_rows;
    attention.num_q_heads = num_heads;
    attention.scale = kScale;
    attention.num_sms = num_sms_;
    attention.workspace = workspace;
    attention.out = out.get();
    ExpectOk(RunDecodeAttention(attention, nullptr));
    std::vector<__nv_bfloat16> first = out.ToHost();
    for (size_t i = 0; i < first.size(); ++i) {
      if (lengths[i / width] > 0) continue;
      ASSERT_TRUE(std::isnan(__bfloat162float(first[i]))) << "an empty row's output was written";
      first[i] = __float2bfloat16(0.0f);
      expected[i] = 0.0f;
    }
    ExpectNear(first, expected);
    // The same plan gives the same bits.
    ExpectOk(RunDecodeAttention(attention, nullptr));
    const std::vector<__nv_bfloat16> again = out.ToHost();
    for (size_t i = 0; i < first.size(); ++i) {
      if (lengths[i / width] == 0) continue;
      ASSERT_EQ(__bfloat16_as_ushort(first[i]), __bfloat16_as_ushort(again[i]));
    }
  }

  // One row whose last num_tokens tokens are queries, after another row, so that nothing starts at
  // 0.
  void Prefill(int first_position, int num_tokens, int kv_heads, int group) {
    std::mt19937 rng(6);
    const PagedRows rows(rng, {70, first_position + num_tokens}, kv_heads);
    const int num_heads = kv_heads * group, before = 3;
    const size_t width = static_cast<size_t>(num_heads) * kHeadDim;
    const std::vector<__nv_bfloat16> q =
        RandomBf16(rng, width * static_cast<size_t>(before + num_tokens), 1.0f);
    const std::vector<float> q_floats = ToFloats(q);
    std::vector<cpu::TokenPlace> places;
    std::vector<PrefillTile> tiles;
    for (int i = 0; i < num_tokens; ++i) places.push_back({rows.table(1), first_position + i});
    for (int i = 0; i < num_tokens; i += kPrefillTileTokens) {
      tiles.push_back(
          {1, before + i, std::min(kPrefillTileTokens, num_tokens - i), first_position + i});
    }
    std::vector<float> expected(width * static_cast<size_t>(num_tokens));
    cpu::PagedAttention(rows.cpu_pages, places.data(), num_tokens, q_floats.data() + before * width,
                        static_cast<int64_t>(width), num_heads, kScale, expected.data(),
                        static_cast<int64_t>(width), pool_);

    const DeviceArray<__nv_bfloat16> keys(rows.keys), values(rows.values), q_device(q);
    const DeviceArray<int32_t> tables(rows.tables);
    const DeviceArray<PrefillTile> tiles_device(tiles);
    DeviceArray<__nv_bfloat16> out(q.size());
    const int64_t partial_rows = PrefillPartialRows(num_sms_);
    DeviceArray<float> partial_out(static_cast<size_t>(partial_rows) * kHeadDim);
    DeviceArray<float2> partial_sums(static_cast<size_t>(partial_rows));
    PrefillAttention attention;
    attention.q = q_device.get();
    attention.pages = {keys.get(), values.get(), kv_heads};
    attention.page_tables = tables.get();
    attention.max_pages = rows.max_pages;
    attention.tiles = tiles_device.get();
    attention.num_tiles = static_cast<int>(tiles.size());
    attention.num_tokens = before + num_tokens;
    attention.tile_tokens = num_tokens;
    attention.max_slots = first_position + num_tokens;
    attention.num_q_heads = num_heads;
    attention.scale = kScale;
    attention.num_sms = num_sms_;
    attention.workspace = {partial_out.get(), partial_sums.get(), partial_rows};
    attention.out = out.get();
    ExpectOk(RunPrefillAttention(attention, nullptr));
    std::vector<__nv_bfloat16> actual = out.ToHost();
    const std::vector<float2> sums = partial_sums.ToHost();
    was_cut_ = std::any_of(sums.begin(), sums.end(), [](float2 s) { return !std::isnan(s.y); });
    // The same plan gives the same bits.
    ExpectOk(RunPrefillAttention(attention, nullptr));
    const std::vector<__nv_bfloat16> again = out.ToHost();
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(__bfloat16_as_ushort(actual[i]), __bfloat16_as_ushort(again[i]));
    }
    for (size_t i = 0; i < before * width; ++i) {
      ASSERT_TRUE(std::isnan(__bfloat162float(actual[i]))) << "another row's output was written";
    }
    actual.erase(actual.begin(), actual.begin() + static_cast<int64_t>(before * width));
    ExpectNear(actual, expected);
  }

  void SetUp() override {
    CudaTest::SetUp();
    if (!IsSkipped()) num_sms_ = NumSms();
  }

  int num_sms_ = 0;       // that the plan is made for
  bool was_cut_ = false;  // the context of the last Prefill
  cpu::ThreadPool pool_{4};
};

const int kKvHeads = kSmallShapes ? 2 : 8;

TEST_F(AttentionTest, DecodesRowsOfAnyLength) {
  Decode({1, 63, 64, 65, 1000, 2, 129, kSmallShapes ? 1500 : 4097}, kKvHeads, 5);
}
TEST_F(AttentionTest, DecodesOneLongRow) {
  const std::vector<int> lengths =
      kSmallShapes ? std::vector<int>{4097} : std::vector<int>{32768, 131072};
  for (const int length : lengths) Decode({length}, kKvHeads, 5);
}
TEST_F(AttentionTest, DecodesShards) {
  for (const int kv_heads : {1, 2, 4}) Decode({1, 65, 1000, 17}, kv_heads, 5);
}
TEST_F(AttentionTest, DecodesOtherGroups) {
  for (const int group : {1, 2, 4, 8}) Decode({1, 64, 300}, kSmallShapes ? 2 : 4, group);
}
TEST_F(AttentionTest, DecodesManyRows) {
  Decode(std::vector<int>(256, kSmallShapes ? 33 : 190), kSmallShapes ? 1 : 8, 5);
}
// One row in more pieces than a warp has lanes, and in as many as a block has warps, or fewer.
TEST_F(AttentionTest, CombinesPiecesOfAnyNumber) {
  for (const int num_sms : {2, 7, 8, 9, 40}) {
    num_sms_ = num_sms;
    Decode({40 * kPageSlots - 7, 65}, 1, 3);
  }
}
// Shares that end anywhere in rows, and rows that are nothing beside others or empty.
TEST_F(AttentionTest, DecodesSkewedRows) {
  const int longest = kSmallShapes ? 1500 : 20000;
  for (const int num_sms : {1, 5, num_sms_}) {
    num_sms_ = num_sms;
    Decode({40, longest, 17, 16, 1, 200, 700, 700}, kSmallShapes ? 2 : 8, 5);
    Decode({0, 33, 0, 0, 100, 0}, 2, 2);
  }
}
// More than the plan's block has threads.
TEST_F(AttentionTest, DecodesMoreRowsThanThePlanHasThreads) {
  std::vector<int> lengths(600, 3);
  for (size_t row = 0; row < lengths.size(); row += 97) lengths[row] = 70;
  Decode(lengths, 1, 2);
}

TEST_F(AttentionTest, PrefillsFromTheStart) {
  for (const int tokens : {1, 15, 64, 65, 127, 128, 129, kSmallShapes ? 260 : 500}) {
    Prefill(0, tokens, kSmallShapes ? 1 : 8, kSmallShapes ? 2 : 5);
  }
}
TEST_F(AttentionTest, PrefillsLaterChunks) {
  for (const int first : {1, 63, 64, 1000}) {
    Prefill(first, kSmallShapes ? 140 : 200, kSmallShapes ? 1 : 8, kSmallShapes ? 2 : 5);
  }
}
// Drafts: fewer rows than a warpgroup has, or just more, at each side of a page and of two.
TEST_F(AttentionTest, PrefillsAFewTokens) {
  for (const int group : {1, 3, 5, 8}) {
    for (const int first : {0, 62, 125, 300}) {
      for (const int tokens : {2, 17}) Prefill(first, tokens, 1, group);
    }
  }
}
// Blocks that compute several items, some of them of no rows, and one that has none.
TEST_F(AttentionTest, PrefillsOnAnyNumberOfMultiprocessors) {
  for (const int sms : {1, 2, 5, 300}) {
    num_sms_ = sms;
    Prefill(70, 140, 1, 5);
  }
}
// Contexts in pieces that other blocks compute.
TEST_F(AttentionTest, PrefillsInPieces) {
  num_sms_ = 20;
  Prefill(1023, 1, 1, 5);
  EXPECT_TRUE(was_cut_);
  Prefill(1100, 140, 1, 2);
  EXPECT_TRUE(was_cut_);
  Prefill(2000, 5, 2, 5);
  EXPECT_TRUE(was_cut_);
  Prefill(500, 5, 2, 5);
  EXPECT_FALSE(was_cut_) << "too short";
  num_sms_ = 1;
  Prefill(2000, 5, 2, 5);
  EXPECT_FALSE(was_cut_) << "for nobody";
}
TEST_F(AttentionTest, PrefillsBehindALongContext) {
  if (kSmallShapes) GTEST_SKIP() << "long contexts are for a GPU";
  for (const int length : {32768, 131072}) Prefill(length - 16, 16, 8, 5);
}
TEST_F(AttentionTest, PrefillsShards) {
  for (const int kv_heads : {1, 2, kSmallShapes ? 3 : 4}) {
    Prefill(100, kSmallShapes ? 30 : 150, kv_heads, 5);
  }
  Prefill(100, kSmallShapes ? 30 : 150, 4, 1);
}

}  // namespace
}  // namespace sluice::kernels::attention
