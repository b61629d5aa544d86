// SPDX-License-Identifier: Apache-2.0
// Python's string operations on Text, each keeping who wrote which byte. Positions are bytes unless
// a name says code points. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "gateway/chat/jinja/text.h"

namespace sluice::gateway::jinja {

Text ToUpper(const Text& text);
Text ToLower(const Text& text);
Text ToTitle(const Text& text);        // str.title()
Text ToCapitalized(const Text& text);  // str.capitalize()
Text ToSwappedCase(const Text& text);

enum StripSides { kStripLeft = 1, kStripRight = 2, kStripBoth = 3 };
// Strips the code points of `chars`, or white space where absent.
Text Strip(const Text& text, std::optional<std::string_view> chars, StripSides sides);

// At most max_splits cuts; any number where negative. REQUIRES: separator not empty.
std::vector<Text> Split(const Text& text, std::string_view separator, int64_t max_splits);
std::vector<Text> SplitFromRight(const Text& text, std::string_view separator, int64_t max_splits);
// At runs of white space; no empty pieces.
std::vector<Text> SplitSpace(const Text& text, int64_t max_splits);
std::vector<Text> SplitSpaceFromRight(const Text& text, int64_t max_splits);
std::vector<Text> SplitLines(const Text& text, bool keep_ends);

// At most `count` replacements; all where negative.
Text Replace(const Text& text, std::string_view from, const Text& to, int64_t count);
Text Join(const Text& separator, const std::vector<Text>& parts);
// Padding in code points.
Text Pad(const Text& text, int64_t left, int64_t right, const Text& fill);

int64_t CountOccurrences(std::string_view text, std::string_view part);

}  // namespace sluice::gateway::jinja
