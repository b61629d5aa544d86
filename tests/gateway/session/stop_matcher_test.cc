// SPDX-License-Identifier: Apache-2.0
// StopMatcher against a plain definition: the output is the shortest text that ends in a stop
// string, without it.
#include "gateway/session/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace sluice::gateway {
namespace {

struct Expected {
  std::string output;
  std::optional<std::string> stop;
};

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// By trying every length; `from`: matches that are complete within the first `from` bytes do not
// count.
Expected Naive(const std::string& text, const std::vector<std::string>& stops, bool include,
               size_t from) {
  for (size_t size = from + 1; size <= text.size(); ++size) {
    std::optional<std::string> best;
    for (const std::string& stop : stops) {
      if (EndsWith(text.substr(0, size), stop) && (!best || stop.size() > best->size()))
        best = stop;
    }
    if (best) return {text.substr(0, include ? size : size - best->size()), best};
  }
  return {text, std::nullopt};
}

// The longest proper prefix of a stop string that `text` ends in.
size_t PartialMatch(const std::string& text, const std::vector<std::string>& stops) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t size = 1; size < stop.size(); ++size) {
      if (EndsWith(text, stop.substr(0, size))) longest = std::max(longest, size);
    }
  }
  return longest;
}

std::string Joined(const std::vector<OutputPiece>& pieces) {
  std::string text;
  for (const OutputPiece& piece : pieces) text += piece.text;
  return text;
}

std::string RandomText(std::mt19937& rng, unsigned longest) {
  std::string text;
  for (unsigned size = rng() % longest; size > 0; --size) text += "ab c"[rng() % 3];
  return text;
}

TEST(StopMatcher, FindsTheFirstCompleteMatchAndHoldsBackNoMoreThanNeeded) {
  std::mt19937 rng(2);
  int matches = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::string> stops;
    for (unsigned count = rng() % 4; count > 0; --count) {
      stops.push_back("ab"[rng() % 2] + RandomText(rng, 5));
    }
    const std::string text = RandomText(rng, 30);
    const bool include = rng() % 2 == 0;
    // min_tokens: the first pieces cannot complete a match.
    const size_t no_match_pieces = rng() % 3;

    StopMatcher matcher(stops, include);
    std::vector<OutputPiece> released;
    std::optional<std::string> stop;
    std::string fed;
    size_t from = 0;
    for (size_t at = 0, piece = 0; at < text.size() && !stop; ++piece) {
      const std::string part = text.substr(at, 1 + rng() % 4);
      at += part.size();
      fed += part;
      const bool may_match = piece >= no_match_pieces;
      if (!may_match) from = at;
      stop = matcher.Append({PieceKind::kText, part, 1}, may_match, released);
      if (!stop) {
        ASSERT_EQ(Joined(released), fed.substr(0, fed.size() - PartialMatch(fed, stops)));
      }
    }
    if (!stop) matcher.Flush(released);
    const Expected expected = Naive(text, stops, include, from);
    ASSERT_EQ(Joined(released), expected.output) << text;
    ASSERT_EQ(stop, expected.stop) << text;
    ASSERT_EQ(matcher.released_bytes(), expected.output.size());
    matches += stop.has_value();
  }
  EXPECT_GT(matches, 5000);
}

TEST(StopMatcher, ControlTokensGoWholeUnlessCut) {
  StopMatcher matcher({"k>\n"}, false);
  std::vector<OutputPiece> released;
  EXPECT_FALSE(matcher.Append({PieceKind::kThinkOpen, "<think>", 1}, true, released));
  EXPECT_TRUE(released.empty()) << "its end may begin a stop string";
  EXPECT_FALSE(matcher.Append({PieceKind::kText, "a", 1}, true, released));
  ASSERT_EQ(released.size(), 2u);
  EXPECT_EQ(released[0].kind, PieceKind::kThinkOpen);
  released.clear();
  EXPECT_FALSE(matcher.Append({PieceKind::kThinkClose, "</think>", 1}, true, released));
  EXPECT_EQ(matcher.Append({PieceKind::kText, "\nb", 1}, true, released), "k>\n");
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].kind, PieceKind::kText);
  EXPECT_EQ(released[0].text, "</thin");
}

TEST(StopMatcher, AControlTokenCanBeAStopString) {
  for (const bool include : {false, true}) {
    StopMatcher matcher({"</think>"}, include);
    std::vector<OutputPiece> released;
    matcher.Append({PieceKind::kText, "a", 1}, true, released);
    EXPECT_EQ(matcher.Append({PieceKind::kThinkClose, "</think>", 1}, true, released), "</think>");
    ASSERT_EQ(released.size(), include ? 2u : 1u);
    if (include) {
      EXPECT_EQ(released[1].kind, PieceKind::kThinkClose);
    }
  }
}

TEST(StopMatcher, CountsEachTokenOnce) {
  StopMatcher matcher({"xyz"}, false);
  std::vector<OutputPiece> released;
  matcher.Append({PieceKind::kText, "abxy", 1}, true, released);
  matcher.Append({PieceKind::kText, "q", 1}, true, released);
  int tokens = 0;
  for (const OutputPiece& piece : released) tokens += piece.tokens;
  EXPECT_EQ(tokens, 2);
  EXPECT_EQ(Joined(released), "abxyq");
}

}  // namespace
}  // namespace sluice::gateway
