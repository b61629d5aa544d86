// SPDX-License-Identifier: Apache-2.0
// One case for each alternative of the regex and each place where two meet; the goldens hold the
// rest.
#include "gateway/tokenizer/pretokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::gateway {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Pieces(std::string_view text) {
  const Pretokenizer pretokenizer;
  std::vector<std::string> pieces;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = pretokenizer.PieceEnd(text, pos);
    pieces.emplace_back(text.substr(pos, end - pos));
    pos = end;
  }
  return pieces;
}

TEST(PretokenizerTest, Contractions) {
  EXPECT_THAT(Pieces("don't"), ElementsAre("don", "'t"));
  EXPECT_THAT(Pieces("I'LLama"), ElementsAre("I", "'LL", "ama"));
  EXPECT_THAT(Pieces("we'Re'vE'"), ElementsAre("we", "'Re", "'vE", "'"));
  EXPECT_THAT(Pieces("x'\u017Fy"), ElementsAre("x", "'\u017F", "y")) << "long s folds to s";
  EXPECT_THAT(Pieces("x'\u212A"), ElementsAre("x", "'\u212A")) << "no contraction: a prefixed word";
  EXPECT_THAT(Pieces("'r"), ElementsAre("'r"));
  EXPECT_THAT(Pieces("''s"), ElementsAre("''", "s")) << "punctuation takes both";
}

TEST(PretokenizerTest, WordsTakeOneCharacterBefore) {
  EXPECT_THAT(Pieces("a b\tc.d"), ElementsAre("a", " b", "\tc", ".d"));
  EXPECT_THAT(Pieces("\nab"), ElementsAre("\n", "ab"));
  EXPECT_THAT(Pieces("\u3000\u4F60\u597D"), ElementsAre("\u3000\u4F60\u597D"));
  EXPECT_THAT(Pieces("7ab"), ElementsAre("7", "ab"));
  EXPECT_THAT(Pieces("\u0301a"), ElementsAre("\u0301a")) << "a mark is no letter";
}

TEST(PretokenizerTest, DigitsStandAlone) {
  EXPECT_THAT(Pieces("12 3"), ElementsAre("1", "2", " ", "3"));
  EXPECT_THAT(Pieces("\u0661\u2163\u00BD"), ElementsAre("\u0661", "\u2163", "\u00BD"));
}

TEST(PretokenizerTest, PunctuationTakesOneSpaceBeforeAndLineEndsAfter) {
  EXPECT_THAT(Pieces("a ...\r\n\nb"), ElementsAre("a", " ...\r\n\n", "b"));
  EXPECT_THAT(Pieces("  !"), ElementsAre(" ", " !"));
  EXPECT_THAT(Pieces("\t!"), ElementsAre("\t", "!"));
  EXPECT_THAT(Pieces("!?a"), ElementsAre("!?", "a"));
}

TEST(PretokenizerTest, Spaces) {
  EXPECT_THAT(Pieces("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(Pieces("a   "), ElementsAre("a", "   "));
  EXPECT_THAT(Pieces("a \n  \n  b"), ElementsAre("a", " \n  \n", " ", " b"));
  EXPECT_THAT(Pieces("\t\t1"), ElementsAre("\t", "\t", "1"));
  EXPECT_THAT(Pieces("\u0085\u2028x"), ElementsAre("\u0085", "\u2028x"));
  EXPECT_THAT(Pieces("a\u180Eb"), ElementsAre("a", "\u180Eb")) << "U+180E is no space";
}

TEST(PretokenizerTest, ClassesAreUnicode16) {
  // Two letters of Unicode 16 after a digit are one word; were they unassigned, they would be
  // punctuation, which a space joins alike, but which does not join the letter after it.
  for (const std::string letters :
       {"\U00010D4A\U00010D4B", "\uA7CB\uA7CC", "\U00031350\U0002EBF0", "\U0001E4D0\U0001E4EB"}) {
    EXPECT_THAT(Pieces("1" + letters + "x"), ElementsAre("1", letters + "x"));
  }
}

}  // namespace
}  // namespace sluice::gateway
