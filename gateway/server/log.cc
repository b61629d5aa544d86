// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/log.h"

#include <atomic>
#include <cmath>
#include <ctime>
#include <memory>
#include <string>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::gateway {
namespace {

std::atomic<LogFormat> g_format{LogFormat::kText};

std::string JsonString(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

bool NeedsQuotes(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7F)
      return true;
  }
  return false;
}

bool IsAbsent(const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) return text->empty();
  if (const auto* number = std::get_if<double>(&field.value)) return std::isnan(*number);
  return false;
}

std::string FieldText(const LogField& field, bool json) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    return json || NeedsQuotes(*text) ? JsonString(*text) : std::string(*text);
  }
  if (const auto* number = std::get_if<int64_t>(&field.value)) return absl::StrCat(*number);
  return absl::StrFormat("%.3f", std::get<double>(field.value));
}

// The payload comes ready from LogEvent; this adds time and level around it.
class LineFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    const auto since_epoch = message.time.time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch - seconds).count();
    const std::time_t whole = seconds.count();
    std::tm utc{};
    gmtime_r(&whole, &utc);
    char date[32];
    std::strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
    const std::string time = absl::StrFormat("%s.%03dZ", date, milliseconds);
    const auto level = spdlog::level::to_string_view(message.level);
    const absl::string_view level_text(level.data(), level.size());
    const absl::string_view payload(message.payload.data(), message.payload.size());
    const std::string text = g_format == LogFormat::kJson
                                 ? absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", level_text,
                                                "\",", payload, "}\n")
                                 : absl::StrCat(time, " ", level_text, " ", payload, "\n");
    line.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>();
  }
};

}  // namespace

void SetUpLogging(LogFormat format, LogLevel least) {
  g_format = format;
  auto logger =
      std::make_shared<spdlog::logger>("sluice", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::make_unique<LineFormatter>());
  logger->set_level(SpdlogLevel(least));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void LogEvent(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  const auto spdlog_level = SpdlogLevel(level);
  spdlog::logger* logger = spdlog::default_logger_raw();
  if (logger == nullptr || !logger->should_log(spdlog_level)) return;
  const bool json = g_format == LogFormat::kJson;
  std::string line =
      json ? absl::StrCat("\"message\":", JsonString(message)) : std::string(message);
  for (const LogField& field : fields) {
    if (IsAbsent(field)) continue;
    const absl::string_view name(field.name.data(), field.name.size());
    if (json) {
      absl::StrAppend(&line, ",\"", name, "\":", FieldText(field, json));
    } else {
      absl::StrAppend(&line, " ", name, "=", FieldText(field, json));
    }
  }
  logger->log(spdlog_level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace sluice::gateway
