// SPDX-License-Identifier: Apache-2.0
// What the emulated runtime's functions share: errors, and the way of work onto a stream.
#pragma once

#include <cuda_runtime_api.h>

#include "tests/cuda_emulation/stream.h"

namespace sluice::cuda_emulation {

// Returns error, and keeps it as the calling thread's last one.
cudaError_t Report(cudaError_t error);

// The calling thread's.
int CurrentDevice();

// Enqueues; where the stream is capturing, records. The legacy default stream (null) and streams
// without cudaStreamNonBlocking wait for each other.
cudaError_t Submit(cudaStream_t stream, Work work);
bool IsCapturing(cudaStream_t stream);

// For calls that would wait or change the device: an error when a capture that forbids it is on its
// way, which is thereby spoilt.
cudaError_t RefuseWhileCapturing();

void WaitForStream(cudaStream_t stream);
void WaitForAllStreams();  // of the current device

}  // namespace sluice::cuda_emulation
