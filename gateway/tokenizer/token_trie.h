// SPDX-License-Identifier: Apache-2.0
// TokenTrie: the longest token that a text begins with, one 8-byte load per byte of text (a double
// array). Values are small numbers chosen by the caller. Immutable after Build; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::gateway {

class TokenTrie {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Match {
    uint32_t value = kNone;
    size_t bytes = 0;
  };

  // Nothing when the trie would need more than 2^23 cells. REQUIRES: no empty token, none twice.
  static std::optional<TokenTrie> Build(std::vector<std::pair<std::string_view, uint32_t>> tokens);

  // REQUIRES: every first byte of text is a token, as in a byte-level vocabulary.
  Match Longest(std::string_view text) const {
    Match match;
    uint32_t base = root_;
    for (size_t i = 0; i < text.size(); ++i) {
      const uint32_t byte = static_cast<unsigned char>(text[i]);
      const Cell cell = cells_[base ^ byte];
      if ((cell.base_and_label & kLabelMask) != byte) break;
      if (cell.value != kNone) match = {cell.value, i + 1};
      base = cell.base_and_label >> kLabelBits;
    }
    return match;
  }

 private:
  friend class TokenTrieBuilder;

  // The child of a node for a byte b lies at (base of the node) ^ b and carries b as its label. No
  // two nodes share a base, so that an equal label proves the parent. Cells of base 0 stay free:
  // childless nodes point there.
  struct Cell {
    uint32_t base_and_label = kFreeLabel;
    uint32_t value = kNone;
  };
  static constexpr int kLabelBits = 9;
  static constexpr uint32_t kLabelMask = (1 << kLabelBits) - 1;
  static constexpr uint32_t kFreeLabel = 0x100;  // equals no byte
  static constexpr uint32_t kMaxCells = 1 << (32 - kLabelBits);

  std::vector<Cell> cells_;
  uint32_t root_ = 0;
};

}  // namespace sluice::gateway
