// SPDX-License-Identifier: Apache-2.0
// BacktrackingEncoder: byte-level BPE without running the merges. A piece's BPE is the one cover by
// tokens in which every two neighbours would stay two tokens if they were encoded alone; so it is
// found by taking the longest token, checking it against its left neighbour, and backing off where
// they do not fit. Each position is given up at most once, so the time is linear in the piece. (The
// method is that of GitHub's rust-gems `bpe`.)
//
// This holds for lists of merges where every merge makes a token of its own out of bytes or tokens
// that earlier merges made, as training does; Create refuses others, which MergeLoop encodes.
// Immutable but for a lock-free memo; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "gateway/tokenizer/pair_table.h"
#include "gateway/tokenizer/seam_filter.h"
#include "gateway/tokenizer/token_trie.h"
#include "gateway/tokenizer/vocabulary.h"

namespace sluice::gateway {

class BacktrackingEncoder {
 public:
  // Nothing when the merges are not of the kind above. The vocabulary is not needed afterwards.
  static std::unique_ptr<const BacktrackingEncoder> Create(const Vocabulary& vocabulary);

  // Appends the ids of one piece of text. REQUIRES: piece is not empty.
  void Encode(std::string_view piece, std::vector<TokenId>& out) const {
    const TokenTrie::Match match = trie_.Longest(piece);
    if (match.bytes == piece.size()) {
      out.push_back(ids_[match.value]);
    } else {
      EncodeSeveral(piece, match, out);
    }
  }

 private:
  // Tokens are numbered by age: 0..255 the bytes, then one for each merge in the order of the list.
  using Age = uint32_t;

  // What a token was merged from; a byte's own age twice.
  struct Halves {
    Age left;
    Age right;
  };

  // Needed only where a token does not fit.
  struct Shape {
    Age prefix;  // its longest proper prefix that is a token; TokenTrie::kNone for bytes
    uint32_t bytes;
  };

  explicit BacktrackingEncoder(size_t merges);

  bool AddMerges(const Vocabulary& vocabulary);
  bool BuildTrie(const Vocabulary& vocabulary);
  void EncodeSeveral(std::string_view piece, TokenTrie::Match first,
                     std::vector<TokenId>& out) const;

  // Whether two tokens encoded together stay these two, if merges that make tokens older than
  // `limit` alone count.
  bool Fit(Age left, Age right, Age limit) const;
  bool FitMemoized(Age left, Age right) const;
  void AddSeams(const Vocabulary& vocabulary);

  std::vector<TokenId> ids_;     // by age
  std::vector<Shape> shapes_;    // by age
  std::vector<Halves> halves_;   // by age
  std::vector<bool> reachable_;  // by age: encoding its bytes gives the token itself
  PairTable made_;               // (left, right) -> age of the merged token
  SeamFilter seams_;             // of reachable tokens
  TokenTrie trie_;

  // Results of Fit, keyed exactly: an entry holds both ages and the answer in one word, so that
  // relaxed loads and stores from any thread are correct.
  static constexpr size_t kMemoSize = 1 << 16;
  std::unique_ptr<std::atomic<uint64_t>[]> memo_;
};

}  // namespace sluice::gateway
