// SPDX-License-Identifier: Apache-2.0
#include "worker/service/wake_up.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

namespace sluice::worker {

WakeUp::WakeUp(bool with_children) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (with_children) sigaddset(&signals, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

WakeUp::~WakeUp() {
  close(signal_fd_);
  close(event_fd_);
}

std::optional<int> WakeUp::Wait(std::chrono::milliseconds timeout, int extra_fd) {
  pollfd fds[3] = {{signal_fd_, POLLIN, 0}, {event_fd_, POLLIN, 0}, {extra_fd, POLLIN, 0}};
  if (poll(fds, 3, static_cast<int>(timeout.count())) <= 0) return std::nullopt;
  signalfd_siginfo info{};
  if (read(signal_fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    return static_cast<int>(info.ssi_signo);
  }
  uint64_t count = 0;
  if (read(event_fd_, &count, sizeof(count)) == static_cast<ssize_t>(sizeof(count))) return 0;
  if (fds[2].revents != 0) return 0;
  return std::nullopt;
}

void WakeUp::Notify() {
  const uint64_t one = 1;
  // The counter cannot overflow, and a full one is readable anyway.
  if (write(event_fd_, &one, sizeof(one)) < 0) return;
}

}  // namespace sluice::worker
