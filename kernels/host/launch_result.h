// SPDX-License-Identifier: Apache-2.0
// LaunchResult: how a kernel's launcher ended. A launcher checks its arguments, picks a
// configuration and enqueues; it never allocates, waits or keeps state, so that a CUDA graph can
// capture it. Faults of the device itself surface later, where the stream is waited for.
#pragma once

#include <cuda_runtime_api.h>

namespace sluice::kernels {

struct LaunchResult {
  cudaError_t error = cudaSuccess;
  // Static text; null when all is well. What was wrong with the arguments, or which call failed.
  const char* problem = nullptr;

  bool ok() const { return problem == nullptr; }
};

// REQUIRES: problem is static text.
inline LaunchResult InvalidArguments(const char* problem) {
  return {.error = cudaErrorInvalidValue, .problem = problem};
}

// What device::Launch returned. kernel: its name, static text.
inline LaunchResult AfterLaunch(cudaError_t error, const char* kernel) {
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // reported here, so not to the next who asks
  return {.error = error, .problem = kernel};
}

}  // namespace sluice::kernels
