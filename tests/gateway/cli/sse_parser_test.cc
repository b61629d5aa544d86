// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/sse_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace sluice::gateway {
namespace {

using ::testing::ElementsAre;

constexpr std::string_view kStream =
    ": comment\ndata: one\n\nevent: x\r\ndata:two\r\n\r\ndata: a\ndata: b\n\nid: 1\n\ndata:\n\n";

std::vector<std::string> Feed(SseParser& parser, std::string_view bytes) {
  std::vector<std::string> events;
  parser.Feed(bytes, [&events](std::string_view event) { events.emplace_back(event); });
  return events;
}

TEST(SseParserTest, ReadsDataAndSkipsTheRest) {
  SseParser parser;
  EXPECT_THAT(Feed(parser, kStream), ElementsAre("one", "two", "a\nb", ""));
}

TEST(SseParserTest, EveryCutGivesTheSameEvents) {
  for (size_t cut = 0; cut <= kStream.size(); ++cut) {
    SseParser parser;
    std::vector<std::string> events = Feed(parser, kStream.substr(0, cut));
    for (std::string& event : Feed(parser, kStream.substr(cut))) events.push_back(event);
    EXPECT_THAT(events, ElementsAre("one", "two", "a\nb", "")) << cut;
  }
}

// A second reader of the same rules, byte by byte, over random streams of the telling bytes.
std::vector<std::string> ReadPlainly(const std::string& stream) {
  std::vector<std::string> lines(1), events;
  for (size_t i = 0; i < stream.size(); ++i) {
    if (stream[i] == '\n' && i > 0 && stream[i - 1] == '\r') continue;
    if (stream[i] == '\n' || stream[i] == '\r') {
      lines.emplace_back();
    } else {
      lines.back() += stream[i];
    }
  }
  lines.pop_back();  // has no end yet
  std::optional<std::string> data;
  for (const std::string& line : lines) {
    if (line.empty()) {
      if (data.has_value()) events.push_back(*data);
      data.reset();
    } else if (line.rfind("data:", 0) == 0) {
      const std::string value = line.substr(line[5] == ' ' ? 6 : 5);
      data = data.has_value() ? *data + "\n" + value : value;
    }
  }
  return events;
}

TEST(SseParserTest, RandomStreamsInRandomPiecesReadAsAPlainReaderDoes) {
  std::mt19937 random(7);
  const std::vector<std::string> words = {"\r",
                                          "\n",
                                          "\n",
                                          "\r\n",
                                          "\n\n",
                                          "data:",
                                          "data: ",
                                          "a",
                                          " ",
                                          ":",
                                          "dat",
                                          "id: 1\n",
                                          std::string(1, '\0')};
  size_t total = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string stream;
    for (unsigned n = random() % 40; n > 0; --n) stream += words[random() % words.size()];
    SseParser parser;
    std::vector<std::string> events;
    for (std::string_view rest = stream; !rest.empty();) {
      const size_t size = std::min<size_t>(rest.size(), 1 + random() % 5);
      for (std::string& event : Feed(parser, rest.substr(0, size))) events.push_back(event);
      rest.remove_prefix(size);
    }
    EXPECT_EQ(events, ReadPlainly(stream)) << "round " << round;
    total += events.size();
  }
  EXPECT_GT(total, 1000u);
}

TEST(SseParserTest, AnUnfinishedEventIsNotGiven) {
  SseParser parser;
  EXPECT_THAT(Feed(parser, "data: one\n"), ElementsAre());
  EXPECT_THAT(Feed(parser, "\n"), ElementsAre("one"));
}

}  // namespace
}  // namespace sluice::gateway
