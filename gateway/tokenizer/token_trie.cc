// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/token_trie.h"

#include <algorithm>
#include <deque>

namespace sluice::gateway {

// Places nodes breadth first, so that the cells near the root, which every text visits, lie
// together.
class TokenTrieBuilder {
 public:
  using Token = std::pair<std::string_view, uint32_t>;

  explicit TokenTrieBuilder(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
    std::sort(tokens_.begin(), tokens_.end());
    AddBlock();  // base 0, reserved: its cells leave the list
    while (first_free_ < kBlock) Unlink(first_free_);
  }

  std::optional<TokenTrie> Build() {
    std::deque<Node> nodes = {{.begin = 0, .end = tokens_.size(), .depth = 0, .cell = 0}};
    while (!nodes.empty()) {
      const Node node = nodes.front();
      nodes.pop_front();
      const std::vector<Node> children = ChildrenOf(node);
      if (children.empty()) continue;
      const uint32_t base = FindBase(children);
      if (cells().size() > TokenTrie::kMaxCells) return std::nullopt;
      base_used_[base] = true;
      if (node.depth == 0) {
        trie_.root_ = base;
      } else {
        cells()[node.cell].base_and_label |= base << TokenTrie::kLabelBits;
      }
      for (Node child : children) {
        child.cell = base ^ LabelOf(child);
        Occupy(child);
        nodes.push_back(child);
      }
    }
    return std::move(trie_);
  }

 private:
  static constexpr uint32_t kBlock = 256;
  // How many free cells are tried before a new block is opened: bounds the time, costs a little
  // space.
  static constexpr int kMaxTries = 512;

  static constexpr uint32_t kNoCell = UINT32_MAX;
  static constexpr uint32_t kUnlinked = UINT32_MAX - 1;

  struct Link {
    uint32_t previous;
    uint32_t next;
  };

  // Tokens [begin, end) share their first `depth` bytes.
  struct Node {
    size_t begin;
    size_t end;
    size_t depth;
    uint32_t cell;
  };

  std::vector<TokenTrie::Cell>& cells() { return trie_.cells_; }

  uint32_t LabelOf(const Node& node) const {
    return static_cast<unsigned char>(tokens_[node.begin].first[node.depth - 1]);
  }

  std::vector<Node> ChildrenOf(const Node& node) const {
    std::vector<Node> children;
    for (size_t i = node.begin; i < node.end; ++i) {
      const std::string_view token = tokens_[i].first;
      if (token.size() == node.depth) continue;  // the node itself is this token
      if (children.empty() || token[node.depth] != tokens_[i - 1].first[node.depth]) {
        children.push_back({.begin = i, .end = i, .depth = node.depth + 1, .cell = 0});
      }
      children.back().end = i + 1;
    }
    return children;
  }

  void AddBlock() {
    const auto begin = static_cast<uint32_t>(cells().size());
    cells().resize(begin + kBlock);
    base_used_.resize(begin + kBlock);
    for (uint32_t i = begin; i < begin + kBlock; ++i) links_.push_back({i - 1, i + 1});
    links_[begin].previous = last_free_;
    if (last_free_ != kNoCell) links_[last_free_].next = begin;
    if (first_free_ == kNoCell) first_free_ = begin;
    last_free_ = begin + kBlock - 1;
    links_[last_free_].next = kNoCell;
  }

  // A base whose cells are free for all children. When none of the tried ones is, a block is
  // opened, and the cells that were tried are given up, so that they do not slow down every later
  // search.
  uint32_t FindBase(const std::vector<Node>& children) {
    const uint32_t label = LabelOf(children[0]);
    uint32_t cell = first_free_;
    for (int tries = 0; cell != kNoCell && tries < kMaxTries; cell = links_[cell].next, ++tries) {
      if (Fits(cell ^ label, children)) return cell ^ label;
    }
    while (first_free_ != cell) Unlink(first_free_);
    const auto begin = static_cast<uint32_t>(cells().size());
    AddBlock();
    return begin;
  }

  bool Fits(uint32_t base, const std::vector<Node>& children) {
    if (base_used_[base]) return false;
    return std::all_of(children.begin(), children.end(), [&](const Node& child) {
      return cells()[base ^ LabelOf(child)].base_and_label == TokenTrie::kFreeLabel;
    });
  }

  void Occupy(const Node& node) {
    TokenTrie::Cell& cell = cells()[node.cell];
    cell.base_and_label = LabelOf(node);
    if (tokens_[node.begin].first.size() == node.depth) cell.value = tokens_[node.begin].second;
    Unlink(node.cell);
  }

  void Unlink(uint32_t cell) {
    Link& link = links_[cell];
    if (link.next == kUnlinked) return;
    (link.previous == kNoCell ? first_free_ : links_[link.previous].next) = link.next;
    (link.next == kNoCell ? last_free_ : links_[link.next].previous) = link.previous;
    link.next = kUnlinked;
  }

  std::vector<Token> tokens_;
  TokenTrie trie_;
  std::vector<bool> base_used_;
  std::vector<Link> links_;  // by cell: the list of free cells in ascending order
  uint32_t first_free_ = kNoCell;
  uint32_t last_free_ = kNoCell;
};

std::optional<TokenTrie> TokenTrie::Build(
    std::vector<std::pair<std::string_view, uint32_t>> tokens) {
  return TokenTrieBuilder(std::move(tokens)).Build();
}

}  // namespace sluice::gateway
