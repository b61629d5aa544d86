// SPDX-License-Identifier: Apache-2.0
// Which GPUs there are, and in words why there are none. Creates no context, so it costs no GPU
// memory and may be asked by a process that will not compute. Any thread.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "worker/executor/cuda/plugin.h"

namespace sluice::worker {

// UNAVAILABLE without a driver, or with one that is older than the CUDA runtime of this build.
// Empty where the driver shows no GPU.
absl::StatusOr<std::vector<CudaDevice>> ListCudaDevices();

}  // namespace sluice::worker
