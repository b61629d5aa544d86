// SPDX-License-Identifier: Apache-2.0
// The process's log: text for people, or one JSON object a line for machines, on standard error.
// Lines about a request carry its id as a field of their own. Never prompt or answer text.
// Initialized once by main before any thread starts; logging itself is spdlog's and thread safe.
#pragma once

#include <string>

namespace sluice::worker {

enum class LogFormat { kText, kJson };

// process: shown on every line, such as "launcher" or "rank 1".
void InitializeLog(LogFormat format, const std::string& process);

// While it lives, lines of this thread carry the request's id.
class ScopedRequestId {
 public:
  explicit ScopedRequestId(const std::string& id);
  ~ScopedRequestId();
  ScopedRequestId(const ScopedRequestId&) = delete;
  ScopedRequestId& operator=(const ScopedRequestId&) = delete;

 private:
  const std::string* previous_;
};

}  // namespace sluice::worker
