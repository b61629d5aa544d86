// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/merge_loop.h"

#include <cstdint>
#include <queue>
#include <tuple>

namespace sluice::gateway {
namespace {

constexpr uint32_t kNoSymbol = UINT32_MAX;

// A token of the piece so far, in a list linked by index; merged into its left neighbour it is
// dead.
struct Symbol {
  TokenId id;
  uint32_t previous;
  uint32_t next;
  bool alive;
};

// A pair that could merge when it was queued; both ids are compared again when its turn comes.
struct Candidate {
  uint32_t rank;
  uint32_t left;
  TokenId left_id;
  TokenId right_id;

  // std::priority_queue pops the greatest.
  bool operator<(const Candidate& other) const {
    return std::tie(rank, left) > std::tie(other.rank, other.left);
  }
};

}  // namespace

MergeLoop::MergeLoop(const Vocabulary& vocabulary)
    : vocabulary_(vocabulary), ranks_(vocabulary.merges().size()) {
  uint32_t rank = 0;
  for (const Merge& merge : vocabulary.merges()) {
    ranks_.Insert(static_cast<uint32_t>(merge.left), static_cast<uint32_t>(merge.right), rank++);
  }
}

void MergeLoop::Encode(std::string_view piece, std::vector<TokenId>& out) const {
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  for (char byte : piece) {
    const auto i = static_cast<uint32_t>(symbols.size());
    symbols.push_back({.id = vocabulary_.ByteId(static_cast<unsigned char>(byte)),
                       .previous = i - 1,  // kNoSymbol for the first
                       .next = i + 1 == piece.size() ? kNoSymbol : i + 1,
                       .alive = true});
  }
  std::priority_queue<Candidate> queue;
  const auto consider = [&](uint32_t left) {
    if (left == kNoSymbol || symbols[left].next == kNoSymbol) return;
    const TokenId left_id = symbols[left].id;
    const TokenId right_id = symbols[symbols[left].next].id;
    const uint32_t rank =
        ranks_.Find(static_cast<uint32_t>(left_id), static_cast<uint32_t>(right_id));
    if (rank != PairTable::kNone) queue.push({rank, left, left_id, right_id});
  };
  for (uint32_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.left];
    if (!left.alive || left.id != best.left_id || left.next == kNoSymbol) continue;
    Symbol& right = symbols[left.next];
    if (right.id != best.right_id) continue;
    left.id = vocabulary_.merges()[best.rank].result;
    right.alive = false;
    left.next = right.next;
    if (left.next != kNoSymbol) symbols[left.next].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (const Symbol& symbol : symbols) {
    if (symbol.alive) out.push_back(symbol.id);
  }
}

}  // namespace sluice::gateway
