// SPDX-License-Identifier: Apache-2.0
// What a model wrote, any bytes at all: byte 0 sets the options, the rest is text in which 0xF0 to
// 0xF3 stand for the four control tokens. No input may crash; cut in two ways it gives one message;
// calls come in order, fragments after their start; with nothing to parse nothing is lost.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/chat/output_parser.h"

namespace {

using namespace sluice::gateway;  // NOLINT(google-build-using-namespace)

void Check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "tool_call_fuzz: %s\n", what);
  std::abort();
}

const OutputPiece& Control(uint8_t byte) {
  static const std::vector<OutputPiece> controls = {{PieceKind::kThinkOpen, "<think>", 1},
                                                    {PieceKind::kThinkClose, "</think>", 1},
                                                    {PieceKind::kToolCallOpen, "<tool_call>", 1},
                                                    {PieceKind::kToolCallClose, "</tool_call>", 1}};
  return controls[byte - 0xF0u];
}

struct Message {
  std::string reasoning;
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;
  bool complete = false;
  int reasoning_tokens = 0;
  bool operator==(const Message&) const = default;
};

void Join(const std::vector<OutputEvent>& events, Message& message) {
  for (const OutputEvent& event : events) {
    const auto index = static_cast<size_t>(event.call_index);
    switch (event.kind) {
      case OutputKind::kReasoning:
        message.reasoning += event.text;
        break;
      case OutputKind::kContent:
        message.content += event.text;
        break;
      case OutputKind::kToolCallStart:
        Check(index == message.calls.size(), "a call out of order");
        Check(!event.text.empty(), "a call without a name");
        message.calls.emplace_back(event.text, "");
        break;
      case OutputKind::kToolCallArguments:
        Check(index + 1 == message.calls.size(), "arguments of another call than the last");
        message.calls[index].second += event.text;
        break;
    }
    Check(!event.text.empty(), "an empty event");
  }
}

// Text in pieces of at most `longest` bytes, one token each byte.
Message Parse(std::string_view text, const OutputParserOptions& options, size_t longest,
              bool truncated, std::string* spelled) {
  OutputParser parser(options);
  Message message;
  while (!text.empty()) {
    const auto byte = static_cast<uint8_t>(text.front());
    OutputPiece piece;
    size_t size = 1;
    if (byte >= 0xF0 && byte <= 0xF3) {
      piece = Control(byte);
    } else {
      while (size < std::min(longest, text.size()) &&
             (static_cast<uint8_t>(text[size]) < 0xF0 || static_cast<uint8_t>(text[size]) > 0xF3)) {
        ++size;
      }
      piece = {PieceKind::kText, std::string(text.substr(0, size)), static_cast<int>(size)};
    }
    text.remove_prefix(size);
    if (spelled != nullptr) *spelled += piece.text;
    Join(parser.Append(piece), message);
  }
  Join(parser.Finish(truncated), message);
  message.complete = parser.has_complete_calls();
  return message;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 1u << 16) return 0;
  OutputParserOptions options;
  options.prompt.state = static_cast<Thinking>(data[0] % 3);
  options.prompt.ends_in_open_tag = (data[0] & 0x10) != 0;
  options.separate_reasoning = (data[0] & 0x20) == 0;
  options.parse_tool_calls = (data[0] & 0x40) == 0;
  const bool truncated = (data[0] & 0x80) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string spelled;
  const Message whole = Parse(text, options, size, truncated, &spelled);
  Check(whole == Parse(text, options, 1, truncated, nullptr), "chunks make a difference");
  Check(whole == Parse(text, options, 5, truncated, nullptr), "chunks of 5 make a difference");
  if (!options.separate_reasoning && !options.parse_tool_calls) {
    Check(whole.content == spelled, "something was lost");
  }
  return 0;
}
