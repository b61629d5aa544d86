// SPDX-License-Identifier: Apache-2.0
// Ctrl-C as readable data, so that a command can stop what runs and go on. Called by commands on
// the main thread before any other thread starts.
#pragma once

namespace sluice::gateway {

// Blocks SIGINT for this thread and those it starts; a non-blocking signalfd of it. The caller
// owns it.
int MakeInterruptFd();

// Takes what has arrived, so that it does not interrupt what comes next. True when anything had.
bool DrainInterrupts(int interrupt_fd);

}  // namespace sluice::gateway
