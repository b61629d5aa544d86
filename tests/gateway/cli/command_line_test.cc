// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<OptionSpec> kSpecs = {{"http-port", "N", "A port."}, {"stats", "", "A switch."}};

TEST(ParseOptionsTest, TakesBothSpellingsSwitchesAndPositionals) {
  const auto parsed = ParseOptions({"dir", "--http-port=1", "--stats"}, kSpecs);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->positional, ElementsAre("dir"));
  EXPECT_EQ(parsed->Get("http-port"), "1");
  EXPECT_TRUE(parsed->Has("stats"));
  EXPECT_EQ(ParseOptions({"--http-port", "2"}, kSpecs)->Get("http-port"), "2");
  EXPECT_EQ(ParseOptions({"--http-port="}, kSpecs)->Get("http-port", "x"), "");
  EXPECT_EQ(ParseOptions({}, kSpecs)->Get("http-port", "x"), "x");
}

TEST(ParseOptionsTest, AfterTwoDashesEverythingIsPositional) {
  const auto parsed = ParseOptions({"--", "--stats", "-"}, kSpecs);
  EXPECT_THAT(parsed->positional, ElementsAre("--stats", "-"));
  EXPECT_FALSE(parsed->Has("stats"));
}

TEST(ParseOptionsTest, NamesWhatIsWrong) {
  EXPECT_THAT(std::string(ParseOptions({"--http-prot=1"}, kSpecs).status().message()),
              HasSubstr("--http-prot; did you mean --http-port?"));
  EXPECT_THAT(std::string(ParseOptions({"--zzzzzzzz"}, kSpecs).status().message()),
              HasSubstr("--help lists"));
  EXPECT_THAT(std::string(ParseOptions({"--http-port"}, kSpecs).status().message()),
              HasSubstr("needs a value: N"));
  EXPECT_THAT(std::string(ParseOptions({"-x"}, kSpecs).status().message()),
              HasSubstr("two dashes"));
}

TEST(OptionsHelpTest, StaysWithinTheWidth) {
  const std::string help = OptionsHelp(
      {{"a", "N",
        "A sentence that is long enough to be broken, since it goes on and on until the column of "
        "one hundred is behind it."},
       {"a-name-that-fills-the-column", "N", "Short."}});
  size_t start = 0;
  while (start < help.size()) {
    const size_t end = help.find('\n', start);
    EXPECT_LE(end - start, 100u);
    start = end + 1;
  }
  EXPECT_THAT(help, HasSubstr("\n                            Short.\n"));
}

TEST(ClosestNameTest, FindsSmallSlipsOnly) {
  const std::vector<std::string_view> names = {"serve", "chat", "check"};
  EXPECT_EQ(ClosestName("serv", names), "serve");
  EXPECT_EQ(ClosestName("chekc", names), "check");
  EXPECT_EQ(ClosestName("dance", names), "");
  EXPECT_EQ(ClosestName("", names), "");
}

}  // namespace
}  // namespace sluice::gateway
