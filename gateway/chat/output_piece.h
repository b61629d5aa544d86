// SPDX-License-Identifier: Apache-2.0
// What a model wrote, as the output parsers take it and give it: pieces go in, events come out.
// Whether a tag is a control token was decided by its id, before these parsers; they never search
// text for tags. Plain data.
#pragma once

#include <string>

namespace sluice::gateway {

enum class PieceKind { kText, kThinkOpen, kThinkClose, kToolCallOpen, kToolCallClose };

struct OutputPiece {
  PieceKind kind = PieceKind::kText;
  std::string text;  // a control token's own spelling, too: it may turn out to be quoted in prose
  int tokens =
      0;  // ids whose first text this is: 1, or 0 for the rest of a token that came in parts
};

enum class OutputKind { kReasoning, kContent, kToolCallStart, kToolCallArguments };

struct OutputEvent {
  OutputKind kind = OutputKind::kContent;
  std::string text;    // kToolCallStart: the function's name; kToolCallArguments: the next fragment
  int call_index = 0;  // tool calls only
};

}  // namespace sluice::gateway
