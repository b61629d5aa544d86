// SPDX-License-Identifier: Apache-2.0
// Launches of kernels on the emulated device.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "tests/cuda_emulation/simt.h"

namespace sluice::cuda_emulation {

// Enqueues, or records where the stream is capturing. call(config.kernel, config.arguments) is one
// thread's run; arguments owns config's.
using KernelCall = void (*)(const void* kernel, const void* arguments);
cudaError_t Launch(const GridConfig& config, cudaStream_t stream, KernelCall call,
                   std::shared_ptr<const void> arguments);

// cudaFuncSetAttribute's maximum of dynamic shared memory.
cudaError_t AllowSharedBytes(const void* kernel, size_t bytes);

}  // namespace sluice::cuda_emulation
