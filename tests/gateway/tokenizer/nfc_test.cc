// SPDX-License-Identifier: Apache-2.0
// Corner cases of normalizing; equality with Hugging Face on many strings is the goldens' part.
#include "gateway/tokenizer/nfc.h"

#include <gtest/gtest.h>

#include "gateway/tokenizer/char_properties.h"
#include "gateway/tokenizer/unicode_tables.h"
#include "gateway/tokenizer/utf8.h"

namespace sluice::gateway {
namespace {

TEST(NfcTest, ComposesDecomposesAndReorders) {
  EXPECT_EQ(NormalizeNfc(""), "");
  EXPECT_EQ(NormalizeNfc("plain"), "plain");
  EXPECT_EQ(NormalizeNfc("xe\u0301y"), "x\u00E9y");
  EXPECT_EQ(NormalizeNfc("\u212B"), "\u00C5") << "a singleton";
  EXPECT_EQ(NormalizeNfc("\u0958"), "\u0915\u093C") << "excluded from composition";
  EXPECT_EQ(NormalizeNfc("a\u0301\u0323"), "\u1EA1\u0301") << "the dot below comes first";
  EXPECT_EQ(NormalizeNfc("a\u0300\u0301"), "\u00E0\u0301") << "the second accent is blocked";
  EXPECT_EQ(NormalizeNfc("\u0301\u0323a"), "\u0323\u0301a") << "no starter before";
  EXPECT_EQ(NormalizeNfc("\u1F04\u0345"), "\u1F84") << "a composite composes on";
}

TEST(NfcTest, ComposesEveryPair) {
  for (const Composition& pair : Compositions()) {
    std::string parts = "1";
    AppendUtf8(pair.first, parts);
    AppendUtf8(pair.second, parts);
    std::string composite = "1";
    AppendUtf8(pair.composite, composite);
    ASSERT_EQ(NormalizeNfc(parts), composite);
    ASSERT_EQ(NormalizeNfc(composite), composite);
    ASSERT_TRUE(CharProperties::Get().MattersToNfc(pair.second)) << composite;
  }
}

TEST(NfcTest, ComposesHangul) {
  EXPECT_EQ(NormalizeNfc("\u1100\u1161\u11A8"), "\uAC01");
  EXPECT_EQ(NormalizeNfc("\uAC00\u11A8"), "\uAC01");
  EXPECT_EQ(NormalizeNfc("\uAC01\u11A8"), "\uAC01\u11A8") << "a syllable has one tail";
  EXPECT_EQ(NormalizeNfc("\uAC00\u11A7"), "\uAC00\u11A7") << "U+11A7 is no tail";
}

// Its class is Unicode 16's, its normalization Unicode 9's: the library's tables differ in age.
TEST(NfcTest, LeavesWhatUnicode9DidNotKnow) {
  EXPECT_EQ(NormalizeNfc("\U00011935\U00011930"), "\U00011935\U00011930") << "composes since 13";
  EXPECT_EQ(NormalizeNfc("\u07FD\u0301\u0323"), "\u07FD\u0323\u0301");
}

TEST(NfcTest, EveryCharacterIsLeftAloneOrMatters) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xD800) c = 0xE000;
    std::string text;
    AppendUtf8(c, text);
    const std::string once = NormalizeNfc(text);
    if (!CharProperties::Get().MattersToNfc(c)) {
      ASSERT_EQ(once, text) << c;
    }
    ASSERT_EQ(NormalizeNfc(once), once) << c;
    ASSERT_EQ(NormalizeNfc("1" + text + "b"), "1" + once + "b") << c;
  }
}

}  // namespace
}  // namespace sluice::gateway
