// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice::gateway {
namespace {

std::string ErrorText(int error) { return strerrordesc_np(error); }

// Everything between fork and exec: only async-signal-safe calls. Never returns.
[[noreturn]] void ExecChild(char* const* argv, pid_t parent, int output_fd, int error_fd,
                            bool own_group) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before prctl took effect
  if (own_group) {
    setpgid(0, 0);
    const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd >= 0) dup2(null_fd, STDIN_FILENO);
  }
  if (output_fd >= 0) dup2(output_fd, STDOUT_FILENO);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execv(argv[0], argv);
  const int error = errno;
  // The parent reads the reason from this pipe, which a successful exec closes.
  (void)!write(error_fd, &error, sizeof(error));
  _exit(127);
}

struct Pipe {
  int read_fd = -1;
  int write_fd = -1;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot make a pipe: ", ErrorText(errno)));
  }
  return Pipe{fds[0], fds[1]};
}

absl::StatusOr<pid_t> Spawn(const std::string& path, const std::vector<std::string>& args,
                            int output_fd, bool own_group) {
  std::vector<std::string> words = {path};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  absl::StatusOr<Pipe> error_pipe = MakePipe();
  if (!error_pipe.ok()) return error_pipe.status();
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) ExecChild(argv.data(), parent, output_fd, error_pipe->write_fd, own_group);
  const int fork_error = errno;
  close(error_pipe->write_fd);
  int exec_error = 0;
  const ssize_t got =
      pid < 0 ? 0 : TEMP_FAILURE_RETRY(read(error_pipe->read_fd, &exec_error, sizeof(exec_error)));
  close(error_pipe->read_fd);
  if (pid < 0) {
    return absl::UnavailableError(absl::StrCat("cannot start ", path, ": ", ErrorText(fork_error)));
  }
  if (got == sizeof(exec_error)) {
    waitpid(pid, nullptr, 0);
    return absl::UnavailableError(absl::StrCat("cannot start ", path, ": ", ErrorText(exec_error)));
  }
  return pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::string& path, const std::vector<std::string>& args) {
  absl::StatusOr<Pipe> output = MakePipe();
  if (!output.ok()) return output.status();
  absl::StatusOr<pid_t> pid = Spawn(path, args, output->write_fd, /*own_group=*/true);
  close(output->write_fd);
  if (!pid.ok()) {
    close(output->read_fd);
    return pid.status();
  }
  fcntl(output->read_fd, F_SETFL, O_NONBLOCK);
  return std::unique_ptr<ChildProcess>(new ChildProcess(*pid, output->read_fd));
}

ChildProcess::~ChildProcess() {
  if (!HasEnded()) {
    kill(pid_, SIGKILL);
    TEMP_FAILURE_RETRY(waitpid(pid_, nullptr, 0));
  }
  if (output_fd_ >= 0) close(output_fd_);
}

std::vector<std::string> ChildProcess::ReadLines() {
  std::vector<std::string> lines;
  char buffer[4096];
  while (output_fd_ >= 0) {
    const ssize_t got = read(output_fd_, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      close(output_fd_);
      output_fd_ = -1;
      break;
    }
    partial_line_.append(buffer, static_cast<size_t>(got));
    size_t newline;
    while ((newline = partial_line_.find('\n')) != std::string::npos) {
      lines.push_back(partial_line_.substr(0, newline));
      partial_line_.erase(0, newline + 1);
    }
  }
  return lines;
}

void ChildProcess::Signal(int signal_number) const {
  if (!wait_status_.has_value()) kill(pid_, signal_number);
}

bool ChildProcess::HasEnded() {
  if (!wait_status_.has_value()) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
  }
  return wait_status_.has_value();
}

std::string ChildProcess::HowItEnded() const {
  const int status = wait_status_.value_or(0);
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    return absl::StrCat("was killed by signal ", number, " (", sigdescr_np(number), ")");
  }
  return absl::StrCat("exited with status ", WEXITSTATUS(status));
}

bool ChildProcess::EndedWell() const {
  const int status = wait_status_.value_or(-1);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

absl::Status ChildProcess::Failure(std::string_view name) const {
  const int status = wait_status_.value_or(0);
  const std::string message = absl::StrCat(std::string(name), " ", HowItEnded());
  return WIFEXITED(status) && WEXITSTATUS(status) == 2 ? absl::InvalidArgumentError(message)
                                                       : absl::UnavailableError(message);
}

absl::StatusOr<int> RunAndWait(const std::string& path, const std::vector<std::string>& args) {
  absl::StatusOr<pid_t> pid = Spawn(path, args, /*output_fd=*/-1, /*own_group=*/false);
  if (!pid.ok()) return pid.status();
  int status = 0;
  TEMP_FAILURE_RETRY(waitpid(*pid, &status, 0));
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace sluice::gateway
