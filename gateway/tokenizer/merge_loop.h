// SPDX-License-Identifier: Apache-2.0
// MergeLoop: byte-level BPE as it is defined, for any list of merges: while there is a pair that
// merges, merge the one of the lowest rank, the leftmost first. O(n log n) by a heap. It is the
// oracle of BacktrackingEncoder, and the encoder of vocabularies which that one cannot take.
// Immutable; any thread.
#pragma once

#include <string_view>
#include <vector>

#include "gateway/tokenizer/pair_table.h"
#include "gateway/tokenizer/vocabulary.h"

namespace sluice::gateway {

class MergeLoop {
 public:
  // The vocabulary must outlive this.
  explicit MergeLoop(const Vocabulary& vocabulary);

  // Appends the ids of one piece of text.
  void Encode(std::string_view piece, std::vector<TokenId>& out) const;

 private:
  const Vocabulary& vocabulary_;
  PairTable ranks_;
};

}  // namespace sluice::gateway
