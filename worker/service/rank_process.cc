// SPDX-License-Identifier: Apache-2.0
#include "worker/service/rank_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace sluice::worker {
namespace {

// Between fork and exec only async-signal-safe calls are allowed: everything is prepared by the
// parent.
[[noreturn]] void Become(const char* path, char* const* argv, pid_t launcher, int inherited_fd) {
  setpgid(0, 0);
  // The signal comes even when the launcher dies by SIGKILL; if it died before this line, we see
  // another parent.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) _exit(1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);  // NOLINT(concurrency-mt-unsafe): the child's only one
  if (inherited_fd >= 0) fcntl(inherited_fd, F_SETFD, 0);
  execv(path, argv);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RankProcess>> RankProcess::Start(
    int rank, const std::vector<std::string>& arguments, int inherited_fd) {
  // Not /proc/self/exe itself, after which the process would be named "exe".
  std::error_code error;
  std::string path = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error) return absl::UnavailableError("/proc/self/exe cannot be read");
  std::vector<std::string> storage = arguments;
  std::vector<char*> argv = {path.data()};
  for (std::string& argument : storage) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t launcher = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return absl::UnavailableError(
        absl::StrCat("rank ", rank, " cannot be started: ", strerrordesc_np(errno)));
  }
  if (pid == 0) Become(path.c_str(), argv.data(), launcher, inherited_fd);
  return std::unique_ptr<RankProcess>(new RankProcess(rank, pid));
}

RankProcess::~RankProcess() {
  if (HasEnded()) return;
  Signal(SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

void RankProcess::Signal(int signal_number) const {
  if (!wait_status_) kill(pid_, signal_number);
}

bool RankProcess::HasEnded() {
  if (wait_status_) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
  return wait_status_.has_value();
}

int RankProcess::exit_code() const {
  return WIFEXITED(*wait_status_) ? WEXITSTATUS(*wait_status_) : 128 + WTERMSIG(*wait_status_);
}

std::string RankProcess::HowItEnded() const {
  if (WIFEXITED(*wait_status_)) return absl::StrCat("exited with ", WEXITSTATUS(*wait_status_));
  return absl::StrCat("was killed by signal ", WTERMSIG(*wait_status_));
}

}  // namespace sluice::worker
