// SPDX-License-Identifier: Apache-2.0
// How prefill attention divides a step: tiles of tokens into items, items among blocks, and what an
// item sees into rounds and pieces.
#pragma once

#include <cstdint>

#include "kernels/attention/prefill_attention.h"

namespace sluice::kernels::attention {

constexpr int kItemRows = 128;

// A round is two pages: what an item goes over at once.
constexpr int kRoundPages = 2;
constexpr int kRoundSlots = kRoundPages * kPageSlots;

// A piece of a context has at least so many rounds.
constexpr int kMinPieceRounds = 4;

// What a block computes at once: kItemRows rows of a tile, for one KV head, and a piece of what
// they see. Rows are queries: neighbouring tokens, each with all query heads of the KV head, so
// that a few tokens fill rows as well.
struct PrefillItem {
  PrefillTile tile = {};
  int kv_head = 0, heads = 0;          // query heads a KV head
  int first_row = 0;                   // of the tile's tokens times heads
  int num_slots = 0;                   // of the row that hold anything, as far as this tile knows
  int piece = 0, pieces = 0;           // of the context; 0 of them where the item has no rows
  int first_round = 0, end_round = 0;  // of the piece

  PrefillItem() = default;
  // within: of the tile's items, one for each query head.
  __device__ PrefillItem(const PrefillAttention& p, const PrefillTile& of_tile, int within,
                         int of_piece, int most_pieces)
      : tile(of_tile), piece(of_piece) {
    heads = p.num_q_heads / p.pages.num_kv_heads;
    kv_head = within / heads;
    first_row = within % heads * kItemRows;
    if (first_row >= tile.num_tokens * heads) return;  // a tile of few tokens
    num_slots = tile.first_position + tile.num_tokens;
    const int last = min(Token(kItemRows - 1), tile.num_tokens - 1);
    const int rounds = (tile.first_position + last + kRoundSlots) / kRoundSlots;
    pieces = max(1, min(most_pieces, rounds / kMinPieceRounds));
    first_round = rounds * piece / pieces;
    end_round = rounds * (piece + 1) / pieces;
  }

  __device__ bool empty() const { return piece >= pieces; }
  // Of a row of the item, which may be beyond the tile's.
  __device__ int Token(int row) const { return (first_row + row) / heads; }
  __device__ int Position(int row) const { return tile.first_position + Token(row); }
  // In q and out, a row a query head.
  __device__ int64_t Row(const PrefillAttention& p, int row) const {
    const int token = Token(row), head = first_row + row - token * heads;
    return int64_t{tile.first_token + token} * p.num_q_heads + kv_head * heads + head;
  }
};

// Of the workspace: where a piece leaves what it has of a row of q.
__device__ inline int64_t PartialRow(const PrefillAttention& p, int piece, int64_t row) {
  return int64_t{piece} * p.num_tokens * p.num_q_heads + row;
}

// The items of a block. Those of a tile are as many as there are query heads; tiles come with the
// most pages first, so a block takes one from the front of each 2 * gridDim.x and one from the
// back.
class PrefillItems {
 public:
  // pieces: that contexts are cut into, if they are long enough.
  __device__ PrefillItems(const PrefillAttention& p, int pieces)
      : p_(p), pieces_(pieces), count_(p.num_tiles * p.num_q_heads * pieces) {}

  // All threads of a block see the same items. False at the end.
  __device__ bool Next(PrefillItem& item) {
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    while (turn_ * blocks < count_) {
      const int number = turn_ * blocks + (turn_ % 2 == 0 ? block : blocks - 1 - block);
      ++turn_;
      if (number >= count_) continue;
      const int of_tile = number / pieces_;
      item = PrefillItem(p_, p_.tiles[of_tile / p_.num_q_heads], of_tile % p_.num_q_heads,
                         number % pieces_, pieces_);
      if (!item.empty()) return true;
    }
    return false;
  }

 private:
  const PrefillAttention& p_;
  const int pieces_, count_;
  int turn_ = 0;
};

}  // namespace sluice::kernels::attention
