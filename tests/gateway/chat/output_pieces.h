// SPDX-License-Identifier: Apache-2.0
// Test input of the output parsers: a text in which tags stand for control tokens, cut into pieces.
#pragma once

#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/chat/output_parser.h"
#include "gateway/chat/output_piece.h"

namespace sluice::gateway::testing {

inline const std::vector<std::pair<std::string, PieceKind>>& Tags() {
  static const std::vector<std::pair<std::string, PieceKind>> tags = {
      {"<think>", PieceKind::kThinkOpen},
      {"</think>", PieceKind::kThinkClose},
      {"<tool_call>", PieceKind::kToolCallOpen},
      {"</tool_call>", PieceKind::kToolCallClose}};
  return tags;
}

// One piece for every tag; text between them in pieces of 1 to `longest` bytes, drawn from `rng`.
inline std::vector<OutputPiece> Pieces(std::string_view text, std::mt19937& rng, size_t longest) {
  std::vector<OutputPiece> pieces;
  while (!text.empty()) {
    PieceKind kind = PieceKind::kText;
    size_t size = 1 + rng() % longest;
    for (const auto& [tag, tag_kind] : Tags()) {
      const size_t at = text.find(tag);
      if (at == 0) {
        kind = tag_kind;
        size = tag.size();
        break;
      }
      size = std::min(size, at);
    }
    size = std::min(size, text.size());
    pieces.push_back({kind, std::string(text.substr(0, size)), 1});
    text.remove_prefix(size);
  }
  return pieces;
}

// A whole answer: events joined.
struct Message {
  std::string reasoning;
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
  bool complete_calls = false;
  bool operator==(const Message&) const = default;
};

inline void Join(const std::vector<OutputEvent>& events, Message& message) {
  for (const OutputEvent& event : events) {
    switch (event.kind) {
      case OutputKind::kReasoning:
        message.reasoning += event.text;
        break;
      case OutputKind::kContent:
        message.content += event.text;
        break;
      case OutputKind::kToolCallStart:
        message.calls.emplace_back(event.text, "");
        break;
      case OutputKind::kToolCallArguments:
        message.calls.at(static_cast<size_t>(event.call_index)).second += event.text;
        break;
    }
  }
}

inline Message ParseAll(const std::vector<OutputPiece>& pieces, const OutputParserOptions& options,
                        bool truncated = false, int* reasoning_tokens = nullptr) {
  OutputParser parser(options);
  Message message;
  for (const OutputPiece& piece : pieces) Join(parser.Append(piece), message);
  Join(parser.Finish(truncated), message);
  message.complete_calls = parser.has_complete_calls();
  if (reasoning_tokens != nullptr) *reasoning_tokens = parser.reasoning_tokens();
  return message;
}

inline Message ParseText(std::string_view text, const OutputParserOptions& options,
                         bool truncated = false) {
  std::mt19937 rng(1);
  return ParseAll(Pieces(text, rng, 100000), options, truncated);
}

inline OutputParserOptions WithTools(Thinking state = Thinking::kUndecided) {
  OutputParserOptions options;
  options.prompt.state = state;
  options.parse_tool_calls = true;
  return options;
}

inline OutputParserOptions WithoutTools(Thinking state = Thinking::kUndecided) {
  OutputParserOptions options = WithTools(state);
  options.parse_tool_calls = false;
  return options;
}

}  // namespace sluice::gateway::testing
