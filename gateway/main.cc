// SPDX-License-Identifier: Apache-2.0
// sluice-gateway: reads the configuration, starts the gateway, waits for a signal and drains.
#include <signal.h>

#include <chrono>
#include <ctime>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/server/log.h"

namespace sluice::gateway {
namespace {

constexpr std::chrono::milliseconds kTick{100};
// After the drain timeout: for the clients to be told.
constexpr std::chrono::seconds kLastWords{2};

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Whether a signal to stop came within one tick.
bool StopRequested(const sigset_t& signals) {
  const timespec tick{0, std::chrono::nanoseconds(kTick).count()};
  return sigtimedwait(&signals, nullptr, &tick) > 0;
}

// Until nothing runs; false when the time is up or a second signal asks for haste.
bool AwaitDrained(const Gateway& gateway, std::chrono::milliseconds timeout,
                  const sigset_t& signals) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!gateway.Drained()) {
    if (StopRequested(signals) || std::chrono::steady_clock::now() >= deadline) return false;
  }
  return true;
}

// As sluice-worker does.
constexpr int kExitFailed = 1;
constexpr int kExitConfiguration = 2;  // options or model folder are wrong

int Fail(const absl::Status& status) {
  std::cerr << "sluice-gateway: " << status.message() << std::endl;
  return absl::IsUnavailable(status) ? kExitFailed : kExitConfiguration;
}

int Main(int argc, char** argv) {
  if (WantsHelp(argc, argv)) {
    ShowHelp();
    return 0;
  }
  if (WantsVersion(argc, argv)) {
    std::cout << "sluice-gateway " << SLUICE_VERSION << std::endl;
    return 0;
  }
  const absl::StatusOr<GatewayConfig> config = ParseConfig(argc, argv);
  if (!config.ok()) return Fail(config.status());
  if (config->check) {
    const absl::Status checked = Gateway::Check(*config);
    return checked.ok() ? 0 : Fail(checked);
  }
  SetUpLogging(config->log_format, config->log_level);

  // Blocked before any thread starts: every thread inherits it, and only this one takes them.
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  absl::StatusOr<std::unique_ptr<Gateway>> gateway = Gateway::Start(*config, SLUICE_VERSION);
  if (!gateway.ok()) return Fail(gateway.status());
  std::cout << (*gateway)->ListeningLine() << std::endl;
  LogEvent(LogLevel::kInfo, "serving",
           {{"model", std::string_view(config->served_model_names.front())},
            {"version", std::string_view(SLUICE_VERSION)}});

  while (!StopRequested(signals)) {
  }

  LogEvent(LogLevel::kInfo, "draining", {{"timeout_ms", int64_t{config->drain_timeout.count()}}});
  (*gateway)->BeginDrain();
  if (!AwaitDrained(**gateway, config->drain_timeout, signals)) {
    LogEvent(LogLevel::kWarning, "the drain is over with requests still running");
    (*gateway)->FailRunning();
    AwaitDrained(**gateway, kLastWords, signals);
  }
  gateway->reset();
  LogEvent(LogLevel::kInfo, "stopped");
  return 0;
}

}  // namespace
}  // namespace sluice::gateway

int main(int argc, char** argv) { return sluice::gateway::Main(argc, argv); }
