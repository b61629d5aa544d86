// SPDX-License-Identifier: Apache-2.0
// PrefixHash: 128 bits that stand for a page's tokens, all tokens before them, the model and the
// cache salt: page i's hash is taken over page i - 1's and its own 64 tokens.
//
// Equal hashes are taken for equal prefixes; tokens are not compared. The function is SipHash-2-4
// with 128 bits of output under a key drawn at random for each process, a pseudo-random function:
// whoever does not know the key, which never leaves the process, cannot construct two prompts with
// one hash, nor reach another salt's pages. What is left is chance: among 2^40 different pages (a
// million a second for twelve days) two are equal with a probability of 2^-49. Comparing would cost
// 256 bytes of memory a page and a pass over them, for less than the machine's own error rate.
//
// Immutable after construction; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "worker/base/ids.h"

namespace sluice::worker {

struct PrefixHash {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const PrefixHash& a, const PrefixHash& b) {
    return a.low == b.low && a.high == b.high;
  }

  // For hash tables: the bits are as random as they get.
  struct LowBits {
    size_t operator()(const PrefixHash& hash) const { return static_cast<size_t>(hash.low); }
  };
};

class PrefixHasher {
 public:
  using Key = std::array<uint64_t, 2>;

  // model: whatever tells apart what the pages were computed with, such as the checkpoint's digest.
  explicit PrefixHasher(absl::string_view model) : PrefixHasher(model, RandomKey()) {}
  PrefixHasher(absl::string_view model, const Key& key);

  // Of no tokens at all. Requests with different salts have nothing in common from here on.
  PrefixHash Root(absl::string_view salt) const;

  // Of a prefix and the kPageTokens tokens that follow it.
  PrefixHash Extend(const PrefixHash& prefix, const TokenId* tokens) const;

 private:
  static Key RandomKey();

  const Key key_;
  const PrefixHash model_;
};

// SipHash-2-4 with 128 bits of output. words: 64-bit little-endian words, the message's tail in the
// last one's low bytes; num_bytes: the message's length.
PrefixHash SipHash128(const PrefixHasher::Key& key, const uint64_t* words, size_t num_bytes);

}  // namespace sluice::worker
