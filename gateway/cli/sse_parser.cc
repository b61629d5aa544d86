// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/sse_parser.h"

namespace sluice::gateway {
namespace {

// Position of the first end of a line, or the size.
size_t LineEnd(std::string_view bytes) {
  const std::string_view before = bytes.substr(0, bytes.find('\n'));
  const size_t carriage_return = before.find('\r');
  return carriage_return == std::string_view::npos ? before.size() : carriage_return;
}

}  // namespace

void SseParser::Feed(std::string_view bytes,
                     absl::FunctionRef<void(std::string_view data)> on_event) {
  while (!bytes.empty()) {
    if (last_was_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    last_was_cr_ = false;
    const size_t end = LineEnd(bytes);
    if (end == bytes.size()) {
      line_.append(bytes);
      return;
    }
    last_was_cr_ = bytes[end] == '\r';
    if (line_.empty()) {
      TakeLine(bytes.substr(0, end), on_event);
    } else {
      line_.append(bytes.substr(0, end));
      TakeLine(line_, on_event);
      line_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
}

void SseParser::TakeLine(std::string_view line,
                         absl::FunctionRef<void(std::string_view data)> on_event) {
  if (line.empty()) {
    if (has_data_) on_event(data_);
    has_data_ = false;
    data_.clear();
    return;
  }
  constexpr std::string_view kData = "data:";
  if (line.substr(0, kData.size()) != kData) return;
  line.remove_prefix(kData.size());
  if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  if (has_data_) data_.push_back('\n');
  data_.append(line);
  has_data_ = true;
}

}  // namespace sluice::gateway
