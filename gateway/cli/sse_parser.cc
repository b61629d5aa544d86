// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/sse_parser.h"

#include <utility>

namespace sluice::gateway {

std::vector<std::string> SseParser::Feed(std::string_view bytes) {
  std::vector<std::string> events;
  for (char byte : bytes) {
    const bool ends_crlf = byte == '\n' && last_was_cr_;
    last_was_cr_ = byte == '\r';
    if (ends_crlf) continue;
    if (byte == '\n' || byte == '\r') {
      EndLine(&events);
    } else {
      line_.push_back(byte);
    }
  }
  return events;
}

void SseParser::EndLine(std::vector<std::string>* events) {
  if (line_.empty()) {
    if (has_data_) events->push_back(std::exchange(data_, {}));
    has_data_ = false;
    return;
  }
  constexpr std::string_view kData = "data:";
  if (line_.compare(0, kData.size(), kData) == 0) {
    const size_t skip = line_.size() > kData.size() && line_[kData.size()] == ' ' ? 1 : 0;
    if (has_data_) data_.push_back('\n');
    data_.append(line_, kData.size() + skip, std::string::npos);
    has_data_ = true;
  }
  line_.clear();
}

}  // namespace sluice::gateway
