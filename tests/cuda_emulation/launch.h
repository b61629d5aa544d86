// SPDX-License-Identifier: Apache-2.0
// Launches of kernels on the emulated device.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "tests/cuda_emulation/simt.h"

namespace sluice::cuda_emulation {

// Enqueues, or records where the stream is capturing. body owns copies of the kernel's arguments.
cudaError_t Launch(const GridConfig& config, cudaStream_t stream, std::function<void()> body);

// cudaFuncSetAttribute's maximum of dynamic shared memory.
cudaError_t AllowSharedBytes(const void* kernel, size_t bytes);

}  // namespace sluice::cuda_emulation
