// SPDX-License-Identifier: Apache-2.0
#include "worker/cache/prefix_hash.h"

#include <bit>
#include <cstring>
#include <random>
#include <vector>

namespace sluice::worker {
namespace {

static_assert(std::endian::native == std::endian::little);

// The first word of a message, so that no string of bytes is ever hashed as a page.
constexpr uint64_t kTextTag = 1;
constexpr uint64_t kPageTag = 2;
constexpr size_t kPageWords = kPageTokens * sizeof(TokenId) / sizeof(uint64_t);

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  void Compress(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
  uint64_t Finish() {
    for (int i = 0; i < 4; ++i) Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

// Of a tag, a hash and a text of any length.
PrefixHash HashText(const PrefixHasher::Key& key, const PrefixHash& before,
                    absl::string_view text) {
  constexpr size_t kHeader = 3 * sizeof(uint64_t);
  const size_t num_bytes = kHeader + text.size();
  std::vector<uint64_t> words(num_bytes / sizeof(uint64_t) + 1);
  words[0] = kTextTag;
  words[1] = before.low;
  words[2] = before.high;
  if (!text.empty()) std::memcpy(words.data() + 3, text.data(), text.size());
  return SipHash128(key, words.data(), num_bytes);
}

}  // namespace

PrefixHash SipHash128(const PrefixHasher::Key& key, const uint64_t* words, size_t num_bytes) {
  SipState state{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee,
                 key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
  const size_t num_words = num_bytes / sizeof(uint64_t);
  for (size_t i = 0; i < num_words; ++i) state.Compress(words[i]);
  const size_t tail_bits = num_bytes % sizeof(uint64_t) * 8;
  uint64_t last = static_cast<uint64_t>(num_bytes) << 56;
  if (tail_bits != 0) last |= words[num_words] & ((uint64_t{1} << tail_bits) - 1);
  state.Compress(last);
  state.v2 ^= 0xee;
  PrefixHash hash;
  hash.low = state.Finish();
  state.v1 ^= 0xdd;
  hash.high = state.Finish();
  return hash;
}

PrefixHasher::PrefixHasher(absl::string_view model, const Key& key)
    : key_(key), model_(HashText(key, {}, model)) {}

PrefixHash PrefixHasher::Root(absl::string_view salt) const { return HashText(key_, model_, salt); }

PrefixHash PrefixHasher::Extend(const PrefixHash& prefix, const TokenId* tokens) const {
  uint64_t words[3 + kPageWords] = {kPageTag, prefix.low, prefix.high};
  std::memcpy(words + 3, tokens, kPageWords * sizeof(uint64_t));
  return SipHash128(key_, words, sizeof(words));
}

PrefixHasher::Key PrefixHasher::RandomKey() {
  std::random_device device;
  Key key;
  for (uint64_t& word : key) word = (uint64_t{device()} << 32) | device();
  return key;
}

}  // namespace sluice::worker
