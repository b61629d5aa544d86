// SPDX-License-Identifier: Apache-2.0
// StopMatcher: finds stop strings in one choice's text as it grows. The match that is complete
// first wins (of those complete at the same byte, the longest), so the result does not depend on
// how the text is cut into tokens. Holds back only a true partial match: the longest end of the
// text that begins some stop string. Not thread safe.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "gateway/chat/output_piece.h"

namespace sluice::gateway {

class StopMatcher {
 public:
  // `include_in_output`: the output ends behind the match, not before it.
  StopMatcher(std::vector<std::string> stops, bool include_in_output);

  // Takes a piece; appends what is certain to be output. `may_match` false: stops that would be
  // complete in this piece are passed over (before min_tokens). Returns the stop string when one is
  // complete: the text ends there. REQUIRES: no match yet.
  std::optional<std::string> Append(OutputPiece piece, bool may_match,
                                    std::vector<OutputPiece>& released);

  // Ends without a match: what was held back is output.
  void Flush(std::vector<OutputPiece>& released);

  // Bytes of text released so far.
  size_t released_bytes() const { return released_bytes_; }

 private:
  // One stop string with its Knuth-Morris-Pratt table.
  struct Stop {
    std::string text;
    std::vector<size_t> fallback;  // [i]: longest proper border of the first i bytes
    size_t matched = 0;            // bytes of `text` that end here
  };

  // Advances every stop string by one byte; the longest one that is complete, if any.
  const Stop* Advance(char c);
  // Releases the first `bytes` of what is held. A control token goes whole; when `cut`, its part
  // goes as text.
  void Release(size_t bytes, bool cut, std::vector<OutputPiece>& released);

  std::vector<Stop> stops_;
  const bool include_in_output_;
  std::deque<OutputPiece> held_;
  size_t held_bytes_ = 0;
  size_t released_bytes_ = 0;
};

}  // namespace sluice::gateway
