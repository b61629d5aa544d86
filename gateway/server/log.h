// SPDX-License-Identifier: Apache-2.0
// Structured log lines on standard error: a short message and named values, as text or one JSON
// object a line. Prompts and answers never go in. Set up once by main; LogEvent is thread safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

namespace sluice::gateway {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogField {
  std::string_view name;  // snake_case
  // An empty text and a NaN say that there is no value: the field is left out.
  std::variant<std::string_view, int64_t, double> value;
};

// Lines below `least` are dropped.
void SetUpLogging(LogFormat format, LogLevel least);

void LogEvent(LogLevel level, std::string_view message,
              std::initializer_list<LogField> fields = {});

}  // namespace sluice::gateway
