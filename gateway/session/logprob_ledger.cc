// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/logprob_ledger.h"

#include <algorithm>
#include <utility>

namespace sluice::gateway {

void LogprobLedger::Add(LogprobEntry entry, bool visible, size_t text_bytes, size_t pending_bytes) {
  const size_t begin = raw_end_;
  if (visible) raw_end_ += entry.token.size();
  items_.push_back({std::move(entry), begin, raw_end_});
  text_end_ += text_bytes;
  stretches_.push_back({text_end_, raw_end_ - std::min(pending_bytes, raw_end_)});
}

void LogprobLedger::AddFlushed(size_t text_bytes) {
  text_end_ += text_bytes;
  stretches_.push_back({text_end_, raw_end_});
}

size_t LogprobLedger::RawEnd(size_t text_bytes) {
  while (!stretches_.empty() && stretches_.front().text_end <= text_bytes) {
    passed_ = stretches_.front();
    stretches_.pop_front();
  }
  if (stretches_.empty()) return passed_.raw_end;
  const size_t into = text_bytes - passed_.text_end;
  return std::min(passed_.raw_end + into, stretches_.front().raw_end);
}

void LogprobLedger::Release(size_t text_bytes, std::vector<LogprobEntry>& out) {
  const size_t end = RawEnd(text_bytes);
  while (!items_.empty() && items_.front().raw_end <= end) {
    LogprobEntry& entry = items_.front().entry;
    if (items_.front().raw_end > items_.front().raw_begin) entry.output_bytes = entry.token;
    out.push_back(std::move(entry));
    items_.pop_front();
  }
}

void LogprobLedger::Close(size_t text_bytes, std::vector<LogprobEntry>& out) {
  const size_t end = RawEnd(text_bytes);
  for (Item& item : items_) {
    const size_t kept = std::min(end, item.raw_end) - std::min(end, item.raw_begin);
    item.entry.output_bytes = item.entry.token.substr(0, kept);
    out.push_back(std::move(item.entry));
  }
  items_.clear();
}

}  // namespace sluice::gateway
