// SPDX-License-Identifier: Apache-2.0
// A sluice-gateway of its own for a test: the real binary on free ports, started, watched and
// stopped. One thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace sluice::testing {

class GatewayProcess {
 public:
  // Starts build/bin/sluice-gateway with these arguments, adding port 0 on 127.0.0.1 for every port
  // that they leave out, and waits for its listening line or its end.
  explicit GatewayProcess(std::vector<std::string> arguments);
  ~GatewayProcess();  // SIGKILL, if it still runs
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  // False when it ended instead of listening.
  bool listening() const { return !ports_.empty(); }
  int port(const std::string& name) const {
    return ports_.at(name);
  }  // "http", "grpc" or "metrics"

  // Waits until /readyz says 200; false after a minute.
  bool AwaitReady() const;

  void Signal(int signal_number) const;
  // Its exit status, or -signal; -1000 when it does not end within a minute.
  int AwaitExit();
  // Everything it has written to standard error.
  std::string Log() const;

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string log_path_;
  std::map<std::string, int> ports_;
};

}  // namespace sluice::testing
