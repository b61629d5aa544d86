// SPDX-License-Identifier: Apache-2.0
// LogprobLedger: keeps log probabilities beside the text they belong to. An entry leaves when all
// of its bytes are in released text, so an entry never runs ahead of the output, and what a stop
// string cuts off is cut off its bytes too. Joined, the output bytes of all entries are the output.
// Not thread safe; one per choice.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "gateway/openai/delta.h"

namespace sluice::gateway {

class LogprobLedger {
 public:
  // One id. Its entry.token is known; `visible`: its bytes are part of the output. It completed
  // `text_bytes` of text, and `pending_bytes` of the stream are still an incomplete character.
  void Add(LogprobEntry entry, bool visible, size_t text_bytes, size_t pending_bytes);
  // Text made of no id's bytes alone: the replacement of an incomplete character at the end.
  void AddFlushed(size_t text_bytes);

  // Moves out the entries whose bytes lie in the first `text_bytes` of the text.
  void Release(size_t text_bytes, std::vector<LogprobEntry>& out);
  // The output ends there: moves out all entries, cut to what is in the output.
  void Close(size_t text_bytes, std::vector<LogprobEntry>& out);

 private:
  struct Item {
    LogprobEntry entry;
    size_t raw_begin;
    size_t raw_end;
  };
  // A stretch of text and the bytes it was decoded from; of equal length unless something was
  // replaced.
  struct Stretch {
    size_t text_end;
    size_t raw_end;
  };

  // Bytes of the stream that the first `text_bytes` of the text stand for.
  size_t RawEnd(size_t text_bytes);

  std::deque<Item> items_;
  std::deque<Stretch> stretches_;
  size_t text_end_ = 0;
  size_t raw_end_ = 0;
  Stretch passed_ = {0, 0};  // end of the last stretch that is wholly released
};

}  // namespace sluice::gateway
