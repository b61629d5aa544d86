// SPDX-License-Identifier: Apache-2.0
// PromptLookup: guesses what follows a sequence by finding its last few ids earlier in itself
// (Saxena, "Prompt Lookup Decoding", 2023): answers that copy from their prompt, or repeat
// themselves, are full of such places. One sequence's index; the scheduler owns it and calls it on
// the engine thread.
//
// The longest n-gram wins, and of its places the most recent one: what was said last is the
// likelier to go on, and a loop is followed from its last round. Copying runs on into the guess
// itself, as in LZ77, so a short loop fills any number of drafts.
//
// For each n there is a hash table from n-gram to the position of its most recent place. It stores
// positions alone and compares ids, so there are no false places. Reading an id costs one insertion
// for each n; a guess costs at most one look-up for each n; at most 16 bytes an id for each n.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/base/ids.h"

namespace sluice::worker {

struct PromptLookupOptions {
  int min_ngram = 2;
  int max_ngram = 4;
};

class PromptLookup {
 public:
  // REQUIRES: 1 <= min_ngram <= max_ngram.
  explicit PromptLookup(PromptLookupOptions options = {});

  // ids: the sequence so far, which between calls only grows. Takes up to max_ids more of it into
  // the index; true when that is all of it.
  bool Read(std::span<const TokenId> ids, int max_ids);

  // num_ids guesses at what follows ids, or none when their end has no earlier place.
  // REQUIRES: Read returned true for these ids.
  std::vector<TokenId> Guess(std::span<const TokenId> ids, int num_ids) const;

  size_t memory_bytes() const;

 private:
  // Open addressing with linear probing over the last position of each distinct n-gram.
  struct Table {
    int n = 0;
    size_t num_used = 0;
    std::vector<int32_t> slots;  // -1: free; a power of two of them, at most half used

    // The slot that holds the n-gram that ends at ids[end], or the free one where it belongs.
    size_t Find(std::span<const TokenId> ids, int32_t end) const;
    void Insert(std::span<const TokenId> ids, int32_t end);
    void Grow(std::span<const TokenId> ids);
  };

  std::vector<Table> tables_;  // longest n first
  // n-grams that end before this position are in the tables. The last id's never are: nothing is
  // known to follow them.
  int32_t num_read_ = 0;
};

}  // namespace sluice::worker
