// SPDX-License-Identifier: Apache-2.0
// SseParser: server-sent events from a byte stream cut anywhere. Only the data field matters to the
// OpenAI API; the other fields and comments are skipped. One stream, one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::gateway {

class SseParser {
 public:
  // The data of every event that `bytes` completes, in order.
  std::vector<std::string> Feed(std::string_view bytes);

 private:
  void EndLine(std::vector<std::string>* events);
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool last_was_cr_ = false;
};

}  // namespace sluice::gateway
