// SPDX-License-Identifier: Apache-2.0
// SipHash is compared with OpenSSL's and with the vectors of its authors; the chain with what it
// must tell apart.
#include "worker/cache/prefix_hash.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace sluice::worker {
namespace {

using Key = PrefixHasher::Key;

// The key 00 01 02 ... 0f of the authors' vectors.
constexpr Key kVectorKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

PrefixHash Ours(const Key& key, const std::vector<uint8_t>& message) {
  std::vector<uint64_t> words(message.size() / 8 + 1);
  if (!message.empty()) std::memcpy(words.data(), message.data(), message.size());
  return SipHash128(key, words.data(), message.size());
}

PrefixHash OpenSsl(Key key, const std::vector<uint8_t>& message) {
  const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> mac(
      EVP_MAC_fetch(nullptr, "SIPHASH", nullptr), &EVP_MAC_free);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(
      EVP_MAC_CTX_new(mac.get()), &EVP_MAC_CTX_free);
  size_t size = sizeof(PrefixHash);
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_END};
  EXPECT_EQ(EVP_MAC_init(context.get(), reinterpret_cast<const unsigned char*>(key.data()),
                         sizeof(key), params),
            1);
  EVP_MAC_update(context.get(), message.data(), message.size());
  PrefixHash hash;
  size_t written = 0;
  EXPECT_EQ(
      EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(&hash), &written, sizeof(hash)),
      1);
  EXPECT_EQ(written, sizeof(hash));
  return hash;
}

TEST(PrefixHashTest, HasTheAuthorsVectors) {
  EXPECT_EQ(Ours(kVectorKey, {}), (PrefixHash{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  EXPECT_EQ(Ours(kVectorKey, {0}), (PrefixHash{0x44af996bd8c187da, 0x45fc229b11597634}));
}

TEST(PrefixHashTest, IsOpenSslsSipHash) {
  std::mt19937_64 random(1);
  for (size_t length = 0; length < 300; ++length) {
    const Key key = {random(), random()};
    std::vector<uint8_t> message(length);
    for (uint8_t& byte : message) byte = static_cast<uint8_t>(random());
    EXPECT_EQ(Ours(key, message), OpenSsl(key, message)) << length;
  }
}

TEST(PrefixHashTest, TellsModelsSaltsTokensAndPlacesApart) {
  const Key key = {1, 2};
  const PrefixHasher hasher("model", key);
  std::vector<TokenId> tokens(kPageTokens, 7);
  const PrefixHash root = hasher.Root("salt");
  const PrefixHash first = hasher.Extend(root, tokens.data());
  EXPECT_EQ(PrefixHasher("model", key).Extend(root, tokens.data()), first);
  EXPECT_FALSE(hasher.Extend(first, tokens.data()) == first) << "the same tokens further on";
  EXPECT_FALSE(hasher.Extend(hasher.Root("other"), tokens.data()) == first);
  EXPECT_FALSE(PrefixHasher("other", key).Root("salt") == root);
  EXPECT_FALSE(PrefixHasher("mode", key).Root("lsalt") == root) << "no joining of the two";
  EXPECT_FALSE(PrefixHasher("model").Root("salt") == PrefixHasher("model").Root("salt"))
      << "every hasher draws its own key";
  for (int i = 0; i < kPageTokens; ++i) {
    std::vector<TokenId> changed = tokens;
    changed[static_cast<size_t>(i)] = 8;
    EXPECT_FALSE(hasher.Extend(root, changed.data()) == first) << "token " << i;
  }
}

}  // namespace
}  // namespace sluice::worker
