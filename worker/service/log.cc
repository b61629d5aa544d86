// SPDX-License-Identifier: Apache-2.0
#include "worker/service/log.h"

#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice::worker {
namespace {

thread_local const std::string* current_request_id = nullptr;

std::string Timestamp(std::chrono::system_clock::time_point time) {
  const auto since_epoch = time.time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count() % 1000;
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  const size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:03}Z", std::string(text, length), ms);
}

class Formatter final : public spdlog::formatter {
 public:
  Formatter(LogFormat format, std::string process)
      : format_(format), process_(std::move(process)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string line = format_ == LogFormat::kJson ? Json(message) : Text(message);
    out.append(line.data(), line.data() + line.size());
    out.push_back('\n');
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<Formatter>(format_, process_);
  }

 private:
  static std::string Level(const spdlog::details::log_msg& message) {
    const auto level = spdlog::level::to_string_view(message.level);
    return {level.data(), level.size()};
  }

  std::string Text(const spdlog::details::log_msg& message) const {
    std::string line =
        fmt::format("{} {:<7} {}: ", Timestamp(message.time), Level(message), process_);
    if (current_request_id != nullptr) line += "[" + *current_request_id + "] ";
    line.append(message.payload.data(), message.payload.size());
    // A peer's text must not be able to forge a line.
    for (char& c : line) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    return line;
  }

  std::string Json(const spdlog::details::log_msg& message) const {
    nlohmann::ordered_json line = {
        {"time", Timestamp(message.time)},
        {"level", Level(message)},
        {"process", process_},
        {"message", std::string(message.payload.data(), message.payload.size())}};
    if (current_request_id != nullptr) line["request_id"] = *current_request_id;
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }

  const LogFormat format_;
  const std::string process_;
};

}  // namespace

void InitializeLog(LogFormat format, const std::string& process) {
  auto logger = spdlog::stderr_logger_mt("sluice");
  logger->set_formatter(std::make_unique<Formatter>(format, process));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

ScopedRequestId::ScopedRequestId(const std::string& id)
    : previous_(std::exchange(current_request_id, &id)) {}

ScopedRequestId::~ScopedRequestId() { current_request_id = previous_; }

}  // namespace sluice::worker
