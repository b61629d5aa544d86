// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/interrupt.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace sluice::gateway {

int MakeInterruptFd() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool DrainInterrupts(int interrupt_fd) {
  bool any = false;
  signalfd_siginfo info;
  while (read(interrupt_fd, &info, sizeof(info)) == sizeof(info)) any = true;
  return any;
}

}  // namespace sluice::gateway
