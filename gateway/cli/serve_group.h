// SPDX-License-Identifier: Apache-2.0
// ServeGroup: the two servers of one `sluice serve`, from start to drain. The gateway looks at its
// part of the model folder first, so that nothing listens for a broken one; then comes the worker
// group, since the gateway needs its port; then the gateway; ready when the gateway says so. When
// one ends on its own the other is stopped and the reason told: restarting is the work of the
// worker's launcher and of whatever runs us. Single threaded, on the main thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "gateway/cli/child_process.h"
#include "gateway/cli/serve_options.h"
#include "gateway/cli/terminal.h"

namespace sluice::gateway {

// The addresses of a "listening name=host:port ..." line, by name; empty for any other line.
std::map<std::string, std::string> ParseListeningLine(std::string_view line);

class ServeGroup {
 public:
  // `signal_fd` is a signalfd of SIGINT, SIGTERM and SIGCHLD, which must be blocked; not owned.
  ServeGroup(const ServeOptions& options, const Terminal& terminal, std::string bin_dir,
             int signal_fd);

  // Starts both servers and returns when the gateway is ready. CANCELLED when a signal to stop came
  // before; else what went wrong.
  absl::Status Start();
  // Returns when a signal to stop came (OK) or a server ended on its own (an error that says how).
  absl::Status Supervise();
  // Drains: the gateway first, which finishes what runs, then the worker. A second signal ends both
  // at once.
  absl::Status Stop();

  // host:port of "http", "grpc" and "metrics" of the gateway, and of "worker_metrics" of the
  // leader; empty before Start.
  std::string Address(const std::string& name) const;

 private:
  struct Server {
    std::string name;
    std::unique_ptr<ChildProcess> process;
    std::map<std::string, std::string> addresses;  // empty until its listening line came
  };

  absl::Status CheckTextFiles();
  // Appends the port that was given; else `otherwise`, unless a configuration file may say.
  void AddPort(const char* flag, const ServeOptions::Port& port, int otherwise,
               std::vector<std::string>* args) const;
  absl::Status Launch(Server* server, const std::vector<std::string>& args);
  absl::Status AwaitListening(const Server& server);
  absl::Status AwaitReady();
  bool IsReady() const;
  // Waits for a signal, a line of a server or the timeout, and takes in what came.
  void Pump(std::chrono::milliseconds timeout);
  void TakeLines(Server* server);
  absl::Status EndedEarly() const;
  void ReportProgress();
  absl::Status StopServer(Server* server);

  const ServeOptions options_;
  const Terminal terminal_;
  const std::string bin_dir_;
  const int signal_fd_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point next_report_;
  Server check_{"sluice-gateway", nullptr, {}};  // the short-lived --check
  Server worker_{"sluice-worker", nullptr, {}};
  Server gateway_{"sluice-gateway", nullptr, {}};
  int stop_signals_ = 0;
};

}  // namespace sluice::gateway
