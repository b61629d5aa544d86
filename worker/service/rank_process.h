// SPDX-License-Identifier: Apache-2.0
// RankProcess: one rank started by the launcher: this same executable with other flags. It runs in
// a process group of its own, so that a terminal's Ctrl-C reaches it only through the launcher, and
// the kernel kills it when the launcher dies, however it dies. Single threaded; created on the
// launcher's main thread, to which the kernel ties the death signal.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::worker {

class RankProcess {
 public:
  // argv without argv[0]. inherited_fd: kept open in the child, all others close; below 0: none.
  static absl::StatusOr<std::unique_ptr<RankProcess>> Start(
      int rank, const std::vector<std::string>& arguments, int inherited_fd);
  // Kills and reaps it unless it has ended.
  ~RankProcess();
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  int rank() const { return rank_; }
  void Signal(int signal_number) const;
  // True once it has ended (and is reaped). Never blocks.
  bool HasEnded();
  // Its exit code, or 128 plus the signal that ended it. REQUIRES: HasEnded().
  int exit_code() const;
  // "exited with 1", "was killed by signal 9". REQUIRES: HasEnded().
  std::string HowItEnded() const;

 private:
  RankProcess(int rank, pid_t pid) : rank_(rank), pid_(pid) {}

  const int rank_;
  const pid_t pid_;
  std::optional<int> wait_status_;
};

}  // namespace sluice::worker
