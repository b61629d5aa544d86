// SPDX-License-Identifier: Apache-2.0
// The packed input of a step against the plan it was made from.
#include "worker/executor/cuda/step_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::worker {
namespace {

using kernels::attention::PrefillTile;
using ::testing::ElementsAre;

class StepInputTest : public ::testing::Test {
 protected:
  // Applies the plan and packs it, padded to a shape of at least `padded`.
  void Pack(const StepPlan& plan, const StepShape& padded = {}) {
    ASSERT_TRUE(table_.Apply(plan, &batch_).ok());
    const StepInput input(batch_, table_);
    shape_ = {.tokens = std::max(input.shape().tokens, padded.tokens),
              .decodes = std::max(input.shape().decodes, padded.decodes),
              .tiles = std::max(input.shape().tiles, padded.tiles),
              .logits = std::max(input.shape().logits, padded.logits),
              .tile_slots = input.shape().tile_slots};
    only_decodes_ = input.only_decodes();
    scored_ = input.scored();
    packed_.assign(static_cast<size_t>(StepLayout(shape_).bytes) / sizeof(Unit) + 1, {{0xab}});
    input.Pack(shape_, bytes());
  }
  std::vector<int32_t> Ints(int64_t StepLayout::* array, int length) {
    const auto* from = reinterpret_cast<const int32_t*>(bytes() + StepLayout(shape_).*array);
    return {from, from + length};
  }
  std::vector<PrefillTile> Tiles() {
    const auto* from = reinterpret_cast<const PrefillTile*>(bytes() + StepLayout(shape_).tiles);
    return {from, from + shape_.tiles};
  }

  RowTable table_{{.max_rows = 8, .num_pages = 100, .max_batched_tokens = 1000, .vocab_size = 50}};
  StepBatch batch_;
  StepShape shape_;
  bool only_decodes_ = false;
  std::vector<ScoredTokens> scored_;

 private:
  struct alignas(16) Unit {
    unsigned char byte[16];
  };
  std::byte* bytes() { return reinterpret_cast<std::byte*>(packed_.data()); }
  std::vector<Unit> packed_;
};

TEST_F(StepInputTest, DecodesComeFirstAndTilesWithTheMostPagesFirst) {
  // Row 1 has prefilled a page and a bit and sampled.
  Pack({.added = {{.row = 1}, {.row = 2}},
        .pages = {{.row = 1, .pages = {7, 9}}, {.row = 2, .pages = {11, 12, 13, 14, 15}}},
        .rows = {{.row = 1, .ids = std::vector<TokenId>(70, 3), .sample = true}}});
  Pack({.added = {{.row = 5, .position = 64}},
        .pages = {{.row = 5, .pages = {20, 21}}},
        .rows = {{.row = 2, .ids = std::vector<TokenId>(300, 4), .num_prompt_logprobs = 3},
                 {.row = 1, .sample = true},
                 {.row = 5, .ids = {30, 31}, .sample = true}}});
  EXPECT_EQ(shape_,
            (StepShape{.tokens = 303, .decodes = 1, .tiles = 4, .logits = 2, .tile_slots = 300}));
  EXPECT_FALSE(only_decodes_);
  EXPECT_THAT(Ints(&StepLayout::decode_rows, 1), ElementsAre(1));
  EXPECT_THAT(Ints(&StepLayout::decode_lengths, 1), ElementsAre(71));
  const std::vector<int32_t> ids = Ints(&StepLayout::ids, 303);
  EXPECT_EQ(ids[0], -1 - 1);
  EXPECT_EQ(ids[1], 4);
  EXPECT_EQ(ids[300], 4);
  EXPECT_EQ(ids[301], 30);
  EXPECT_EQ(ids[302], 31);
  const std::vector<int32_t> positions = Ints(&StepLayout::positions, 303);
  EXPECT_EQ(positions[0], 70);
  EXPECT_EQ(positions[1], 0);
  EXPECT_EQ(positions[300], 299);
  EXPECT_EQ(positions[301], 64);
  const std::vector<int32_t> slots = Ints(&StepLayout::slots, 303);
  EXPECT_EQ(slots[0], 9 * 64 + 6);
  EXPECT_EQ(slots[1], 11 * 64);
  EXPECT_EQ(slots[300], 15 * 64 + 299 - 256);
  EXPECT_EQ(slots[302], 21 * 64 + 1);
  const std::vector<PrefillTile> tiles = Tiles();
  const auto tile = [&](size_t i) {
    return std::vector<int32_t>{tiles[i].row, tiles[i].first_token, tiles[i].num_tokens,
                                tiles[i].first_position};
  };
  EXPECT_THAT(tile(0), ElementsAre(2, 257, 44, 256));
  EXPECT_THAT(tile(1), ElementsAre(2, 129, 128, 128));
  EXPECT_THAT(tile(2), ElementsAre(2, 1, 128, 0));
  EXPECT_THAT(tile(3), ElementsAre(5, 301, 2, 64));
  EXPECT_THAT(Ints(&StepLayout::logits_tokens, 2), ElementsAre(0, 302));
  EXPECT_THAT(Ints(&StepLayout::logits_rows, 2), ElementsAre(1, 5));
  ASSERT_EQ(scored_.size(), 1u);
  EXPECT_EQ(scored_[0].first_token, 1);
  EXPECT_EQ(scored_[0].num_tokens, 3);
}

TEST_F(StepInputTest, PaddingNamesTheScratchPageAndSamplesNothing) {
  Pack({.added = {{.row = 3}},
        .pages = {{.row = 3, .pages = {8}}},
        .rows = {{.row = 3, .ids = {5}, .sample = true}}});
  EXPECT_TRUE(only_decodes_);
  Pack({.rows = {{.row = 3, .sample = true}}}, {.tokens = 4, .decodes = 4, .logits = 4});
  EXPECT_TRUE(only_decodes_);
  EXPECT_THAT(Ints(&StepLayout::ids, 4), ElementsAre(-4, 0, 0, 0));
  EXPECT_THAT(Ints(&StepLayout::slots, 4), ElementsAre(8 * 64 + 1, 0, 0, 0));
  EXPECT_THAT(Ints(&StepLayout::decode_lengths, 4), ElementsAre(2, 0, 0, 0));
  EXPECT_THAT(Ints(&StepLayout::decode_rows, 4), ElementsAre(3, 0, 0, 0));
  EXPECT_THAT(Ints(&StepLayout::logits_rows, 4), ElementsAre(3, -1, -1, -1));
  EXPECT_THAT(Ints(&StepLayout::next_drafts, 4), ElementsAre(-1, -1, -1, -1));
}

TEST_F(StepInputTest, DraftsMakeARunOfLogits) {
  Pack({.added = {{.row = 0}, {.row = 4}},
        .pages = {{.row = 0, .pages = {1}}, {.row = 4, .pages = {2}}},
        .rows = {{.row = 0, .ids = {5}, .sample = true}, {.row = 4, .ids = {6}, .sample = true}}});
  Pack({.rows = {{.row = 0, .sample = true, .drafts = {40, 41}}, {.row = 4, .sample = true}}});
  EXPECT_EQ(shape_,
            (StepShape{.tokens = 4, .decodes = 1, .tiles = 1, .logits = 4, .tile_slots = 4}));
  EXPECT_THAT(Ints(&StepLayout::ids, 4), ElementsAre(-5, -1, 40, 41));
  EXPECT_THAT(Ints(&StepLayout::logits_tokens, 4), ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(Ints(&StepLayout::logits_rows, 4), ElementsAre(0, 0, 0, 4));
  EXPECT_THAT(Ints(&StepLayout::run_indices, 4), ElementsAre(0, 1, 2, 0));
  EXPECT_THAT(Ints(&StepLayout::next_drafts, 4), ElementsAre(40, 41, -1, -1));
}

TEST_F(StepInputTest, PagesGoBehindThoseThatTheRowHas) {
  StepPlan plan{.added = {{.row = 2}}, .pages = {{.row = 2, .pages = {5, 6}}}};
  Pack(plan);
  plan = {.pages = {{.row = 2, .pages = {7}}, {.row = 2, .pages = {8, 9}}}};
  Pack(plan);
  std::vector<std::vector<int32_t>> entries;
  for (const auto& entry : PageTableEntries(plan, table_)) {
    entries.push_back({entry.row, entry.index, entry.page});
  }
  EXPECT_THAT(entries, ::testing::UnorderedElementsAre(ElementsAre(2, 2, 7), ElementsAre(2, 3, 8),
                                                       ElementsAre(2, 4, 9)));
}

}  // namespace
}  // namespace sluice::worker
