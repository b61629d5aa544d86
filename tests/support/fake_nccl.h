// SPDX-License-Identifier: Apache-2.0
// FakeNccl: what a test sees of tests/support/fake_nccl.cc, a shared library that exports the
// functions of libnccl.so.2 and computes over the memory of the emulator of CUDA
// (tests/cuda_emulation). Ranks are threads or processes of one host. Like NCCL, a blocking init
// that misses a peer never returns, an operation that misses one holds up its stream until the
// communicator is aborted, and an abort tells no peer. Stricter than NCCL: ranks that disagree
// about an operation get an error. Thread safe; settings and calls are one process's.
//
// In other processes the environment variable SLUICE_FAKE_NCCL may ask for "deaf", aborts that end
// nothing, and (after a comma) "break=RANK:N", an error on that rank after N pieces (an operation
// has one for each 64 KiB).
#pragma once

#include <string>
#include <vector>

namespace sluice::worker {

class FakeNccl {
 public:
  virtual ~FakeNccl() = default;

  // Forgets calls and settings; groups that are under way go on.
  virtual void Reset() = 0;

  // What was called with a rank's communicators, in order: "Init 2 device 1", "AllReduce 10",
  // "GroupEnd", "Destroy", "Abort" ... (counts in elements).
  virtual std::vector<std::string> Calls(int rank) = 0;

  virtual void set_version(int version) = 0;
  // The function of this name (without "nccl") fails with this result from now on.
  virtual void set_failure(const std::string& function, int result) = 0;
  // What CommGetAsyncError reports.
  virtual void set_async_error(int result) = 0;
  // CommAbort ends the operations, but does not return: a graph is still alive.
  virtual void set_abort_hangs(bool hangs) = 0;
};

// Exported by the library, as "sluice_fake_nccl".
using FakeNcclEntry = FakeNccl* (*)();

}  // namespace sluice::worker
