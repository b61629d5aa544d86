// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include "gateway/tokenizer/text_scan.h"

namespace sluice::gateway {
namespace {

TEST(Utf8Test, EveryScalarValueRoundTrips) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xD800) c = 0xE000;
    std::string text;
    AppendUtf8(c, text);
    const Utf8Prefix prefix = ClassifyUtf8(text);
    ASSERT_EQ(prefix.kind, Utf8Prefix::Kind::kValid) << c;
    ASSERT_EQ(prefix.bytes, text.size()) << c;
    ASSERT_TRUE(DecodeUtf8(text.data()).code_point == c) << c;
    ASSERT_EQ(ScanText(text).valid_bytes, text.size()) << c;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(ClassifyUtf8(text.substr(0, cut)).kind, Utf8Prefix::Kind::kIncomplete) << c;
      ASSERT_EQ(ScanText(text.substr(0, cut)).valid_bytes, 0u) << c;
    }
  }
}

// Every pair of bytes before two continuation bytes: what is valid is exactly what round-trips.
TEST(Utf8Test, AgreesWithTheTableOfWellFormedSequences) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second), '\x80',
                                '\xBF'};
      const bool tail = (second & 0xC0) == 0x80;
      uint32_t expected = 0;
      if (first < 0x80) expected = 1;
      if (first >= 0xC2 && first <= 0xDF && tail) expected = 2;
      if (first == 0xE0 && second >= 0xA0 && second <= 0xBF) expected = 3;
      if (first >= 0xE1 && first <= 0xEF && first != 0xED && tail) expected = 3;
      if (first == 0xED && second >= 0x80 && second <= 0x9F) expected = 3;
      if (first == 0xF0 && second >= 0x90 && second <= 0xBF) expected = 4;
      if (first >= 0xF1 && first <= 0xF3 && tail) expected = 4;
      if (first == 0xF4 && second >= 0x80 && second <= 0x8F) expected = 4;
      const Utf8Prefix prefix = ClassifyUtf8(text);
      ASSERT_EQ(prefix.kind == Utf8Prefix::Kind::kValid, expected != 0) << first << " " << second;
      if (expected != 0) {
        ASSERT_EQ(prefix.bytes, expected) << first << " " << second;
      }
      ASSERT_EQ(ScanText(text).valid_bytes == 0, expected == 0) << first << " " << second;
    }
  }
}

TEST(Utf8Test, LossyConversionReplacesMaximalPartsAndKeepsAnIncompleteEnd) {
  std::string out;
  EXPECT_EQ(AppendLossyUtf8("a\xF0\x9F\x98 b\xFF\xE5\xAD", out), 7u);
  EXPECT_EQ(out, "a\uFFFD b\uFFFD");
  out.clear();
  // Surrogates and overlong forms have no valid part: one replacement for each byte.
  EXPECT_EQ(AppendLossyUtf8("\xED\xA0\x80\xC0\xAF", out), 5u);
  EXPECT_EQ(out, "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(ScanTextTest, FindsTheFirstInvalidByteAndMarks) {
  EXPECT_EQ(ScanText("plain text of more than eight bytes\xFFz").valid_bytes, 35u);
  EXPECT_FALSE(ScanText("caf\u00E9, 你好, \U0001F600, \uAC00").matters_to_nfc);
  EXPECT_TRUE(ScanText("cafe\u0301").matters_to_nfc);
  EXPECT_TRUE(ScanText("\u212B").matters_to_nfc);
  EXPECT_TRUE(ScanText("\u1100\u1161").matters_to_nfc);
}

}  // namespace
}  // namespace sluice::gateway
