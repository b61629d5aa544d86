// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/backtracking_encoder.h"

#include <array>
#include <unordered_map>
#include <utility>

namespace sluice::gateway {
namespace {

constexpr uint32_t kBytes = 256;
constexpr uint64_t kEmptyMemo = UINT64_MAX;

// Positions of a piece that were tried and given up. Pieces are short but for hostile ones.
class PositionSet {
 public:
  explicit PositionSet(size_t size) {
    if (size > 64 * inline_words_.size()) {
      heap_words_.resize(size / 64 + 1);
      words_ = heap_words_.data();
    }
  }
  bool Contains(size_t i) const { return (words_[i / 64] >> (i % 64) & 1) != 0; }
  void Insert(size_t i) { words_[i / 64] |= uint64_t{1} << (i % 64); }

 private:
  std::array<uint64_t, 4> inline_words_{};
  std::vector<uint64_t> heap_words_;
  uint64_t* words_ = inline_words_.data();
};

}  // namespace

BacktrackingEncoder::BacktrackingEncoder(size_t merges)
    : made_(merges), seams_(merges), memo_(new std::atomic<uint64_t>[kMemoSize]) {
  for (size_t i = 0; i < kMemoSize; ++i) memo_[i].store(kEmptyMemo, std::memory_order_relaxed);
}

std::unique_ptr<const BacktrackingEncoder> BacktrackingEncoder::Create(
    const Vocabulary& vocabulary) {
  const size_t merges = vocabulary.merges().size();
  // Ages must fit PairTable's 21 bits.
  if (kBytes + merges >= (1u << PairTable::kValueBits) - 1) return nullptr;
  std::unique_ptr<BacktrackingEncoder> encoder(new BacktrackingEncoder(merges));
  if (!encoder->AddMerges(vocabulary) || !encoder->BuildTrie(vocabulary)) return nullptr;
  encoder->AddSeams(vocabulary);
  return encoder;
}

bool BacktrackingEncoder::AddMerges(const Vocabulary& vocabulary) {
  std::unordered_map<TokenId, Age> ages;
  ages.reserve(kBytes + vocabulary.merges().size());
  for (Age byte = 0; byte < kBytes; ++byte) {
    const TokenId id = vocabulary.ByteId(static_cast<unsigned char>(byte));
    ages.emplace(id, byte);
    ids_.push_back(id);
    shapes_.push_back({.prefix = TokenTrie::kNone, .bytes = 1});
    halves_.push_back({.left = byte, .right = byte});
    reachable_.push_back(true);
  }
  for (const Merge& merge : vocabulary.merges()) {
    const auto left = ages.find(merge.left);
    const auto right = ages.find(merge.right);
    const auto age = static_cast<Age>(ids_.size());
    if (left == ages.end() || right == ages.end()) return false;
    if (!ages.emplace(merge.result, age).second) return false;
    ids_.push_back(merge.result);
    shapes_.push_back({.prefix = TokenTrie::kNone,
                       .bytes = shapes_[left->second].bytes + shapes_[right->second].bytes});
    halves_.push_back({.left = left->second, .right = right->second});
    made_.Insert(left->second, right->second, age);
  }
  // Both halves must come out whole, and nothing older may join across the seam first.
  for (Age age = kBytes; age < ids_.size(); ++age) {
    const auto [left, right] = halves_[age];
    reachable_.push_back(reachable_[left] && reachable_[right] && Fit(left, right, age));
  }
  return true;
}

bool BacktrackingEncoder::BuildTrie(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string_view, uint32_t>> entries;
  for (Age age = 0; age < ids_.size(); ++age) {
    if (reachable_[age]) entries.emplace_back(*vocabulary.Bytes(ids_[age]), age);
  }
  std::optional<TokenTrie> trie = TokenTrie::Build(entries);
  if (!trie.has_value()) return false;
  trie_ = *std::move(trie);
  for (const auto& [bytes, age] : entries) {
    if (bytes.size() > 1) {
      shapes_[age].prefix = trie_.Longest(bytes.substr(0, bytes.size() - 1)).value;
    }
  }
  return true;
}

// Merges of unreachable tokens never happen.
void BacktrackingEncoder::AddSeams(const Vocabulary& vocabulary) {
  for (Age age = kBytes; age < ids_.size(); ++age) {
    const auto [left, right] = halves_[age];
    if (!reachable_[left] || !reachable_[right]) continue;
    seams_.Add(*vocabulary.Bytes(ids_[left]), *vocabulary.Bytes(ids_[right]));
  }
}

// Undoes merges on both sides of the seam, youngest first, and asks at each stage whether the two
// tokens that then meet would have merged before what was undone.
bool BacktrackingEncoder::Fit(Age left, Age right, Age limit) const {
  for (;;) {
    const uint32_t made = made_.Find(left, right);
    if (made != PairTable::kNone && made < limit) return false;
    // Of equal tokens the right one was made last: BPE merges from the left. Bytes cannot be
    // undone.
    const bool undo_left = left >= kBytes && left > right;
    if (undo_left) {
      limit = left;
      left = halves_[left].right;
    } else if (right >= kBytes) {
      limit = right + 1;
      right = halves_[right].left;
    } else {
      return true;
    }
  }
}

bool BacktrackingEncoder::FitMemoized(Age left, Age right) const {
  const uint64_t key = static_cast<uint64_t>(left) << PairTable::kValueBits | right;
  std::atomic<uint64_t>& entry = memo_[(key * 0x9E3779B97F4A7C15u) >> 48];
  static_assert(kMemoSize == 1 << 16);
  const uint64_t seen = entry.load(std::memory_order_relaxed);
  if (seen >> 1 == key) return (seen & 1) != 0;
  const bool fit = Fit(left, right, UINT32_MAX);
  entry.store(key << 1 | (fit ? 1 : 0), std::memory_order_relaxed);
  return fit;
}

void BacktrackingEncoder::EncodeSeveral(std::string_view piece, TokenTrie::Match next,
                                        std::vector<TokenId>& out) const {
  const size_t begin = out.size();  // out[begin..] holds ages until the piece is done
  PositionSet given_up(piece.size() + 1);
  size_t pos = 0;
  while (pos < piece.size()) {  // `next` is a candidate at pos
    const size_t end = pos + next.bytes;
    if (!given_up.Contains(end) && (out.size() == begin || !seams_.MayMerge(piece, pos) ||
                                    FitMemoized(static_cast<Age>(out.back()), next.value))) {
      out.push_back(static_cast<TokenId>(next.value));
      pos = end;
      if (pos < piece.size()) next = trie_.Longest(piece.substr(pos));
      continue;
    }
    // No token fits at pos: the last one was wrong, and nothing may end here again.
    while (shapes_[next.value].prefix == TokenTrie::kNone) {
      given_up.Insert(pos);
      next.value = static_cast<Age>(out.back());
      out.pop_back();
      pos -= shapes_[next.value].bytes;
    }
    next.value = shapes_[next.value].prefix;
    next.bytes = shapes_[next.value].bytes;
  }
  for (size_t i = begin; i < out.size(); ++i) out[i] = ids_[static_cast<size_t>(out[i])];
}

}  // namespace sluice::gateway
