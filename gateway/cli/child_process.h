// SPDX-License-Identifier: Apache-2.0
// ChildProcess: a server started by `sluice serve`. Its standard output comes back line by line
// (that is where servers say which ports they bound); its standard error is ours. It runs in a
// process group of its own, so that a Ctrl-C reaches it only through us, in the order that drains;
// and the kernel kills it when we die, however we die. Single threaded: created, read and awaited
// by the thread that started it, which must be the main thread (the kernel ties the death signal to
// the starting thread).
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::gateway {

class ChildProcess {
 public:
  // `path` is executed with `args` (argv[0] excluded). UNAVAILABLE with the path and the system's
  // reason when it cannot be started.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const std::string& path,
                                                             const std::vector<std::string>& args);
  // Kills it with SIGKILL and waits, unless it has ended.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // For poll(); -1 once the child closed its output.
  int output_fd() const { return output_fd_; }
  // Whole lines that have arrived, without the newline. Never blocks.
  std::vector<std::string> ReadLines();
  void Signal(int signal_number) const;
  // True once it has ended. Never blocks.
  bool HasEnded();
  // "exited with status 1" or "was killed by signal 9 (Killed)". REQUIRES: HasEnded().
  std::string HowItEnded() const;
  // REQUIRES: HasEnded().
  bool EndedWell() const;
  // HowItEnded() of `name` as an error: INVALID_ARGUMENT when it refused its options or its model
  // folder (exit status 2), else UNAVAILABLE. REQUIRES: HasEnded().
  absl::Status Failure(std::string_view name) const;

 private:
  ChildProcess(pid_t pid, int output_fd) : pid_(pid), output_fd_(output_fd) {}
  pid_t pid_;
  int output_fd_;
  std::string partial_line_;
  std::optional<int> wait_status_;
};

// Runs a program with our own standard streams and waits for it: its exit status, or 128 plus the
// signal's number.
absl::StatusOr<int> RunAndWait(const std::string& path, const std::vector<std::string>& args);

}  // namespace sluice::gateway
