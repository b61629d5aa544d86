// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/sse_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

using ::testing::ElementsAre;

constexpr std::string_view kStream =
    ": comment\ndata: one\n\nevent: x\r\ndata:two\r\n\r\ndata: a\ndata: b\n\nid: 1\n\ndata:\n\n";

TEST(SseParserTest, ReadsDataAndSkipsTheRest) {
  SseParser parser;
  EXPECT_THAT(parser.Feed(kStream), ElementsAre("one", "two", "a\nb", ""));
}

TEST(SseParserTest, EveryCutGivesTheSameEvents) {
  for (size_t cut = 0; cut <= kStream.size(); ++cut) {
    SseParser parser;
    std::vector<std::string> events = parser.Feed(kStream.substr(0, cut));
    for (std::string& event : parser.Feed(kStream.substr(cut))) events.push_back(event);
    EXPECT_THAT(events, ElementsAre("one", "two", "a\nb", "")) << cut;
  }
}

TEST(SseParserTest, AnUnfinishedEventIsNotGiven) {
  SseParser parser;
  EXPECT_THAT(parser.Feed("data: one\n"), ElementsAre());
  EXPECT_THAT(parser.Feed("\n"), ElementsAre("one"));
}

}  // namespace
}  // namespace sluice::gateway
