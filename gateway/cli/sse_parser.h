// SPDX-License-Identifier: Apache-2.0
// SseParser: server-sent events from a byte stream cut anywhere. Only the data field matters to the
// OpenAI API; the other fields and comments are skipped. One stream, one thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace sluice::gateway {

class SseParser {
 public:
  // Calls `on_event` with the data of every event that `bytes` completes, in order. The view is
  // good for the call.
  void Feed(std::string_view bytes, absl::FunctionRef<void(std::string_view data)> on_event);

 private:
  void TakeLine(std::string_view line, absl::FunctionRef<void(std::string_view data)> on_event);
  std::string line_;  // the beginning of one that is not whole yet
  std::string data_;
  bool has_data_ = false;
  bool last_was_cr_ = false;
};

}  // namespace sluice::gateway
