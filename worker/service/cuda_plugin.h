// SPDX-License-Identifier: Apache-2.0
// Finds and opens the CUDA plugin, once a process. Everything that can be wrong is one clause, fit
// to follow "--device cuda: ". Any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/executor/cuda/plugin.h"

namespace sluice::worker {

// From lib/ beside this executable's folder, else from where the loader looks. The first call
// decides; what it opened stays until the process ends. FAILED_PRECONDITION when there is none,
// when it cannot be loaded, or when it is of another build.
absl::StatusOr<const CudaPlugin*> OpenCudaPlugin();

// The same from these files in turn; a name without a slash is the loader's to find. A file that
// exists and is wrong ends the search.
absl::StatusOr<CudaPlugin> OpenCudaPluginFrom(const std::vector<std::string>& files);

// The plugin's GPUs, all of which this build runs on. FAILED_PRECONDITION without a driver, without
// a GPU, or with one of another architecture than Hopper's.
absl::StatusOr<std::vector<CudaDevice>> UsableCudaDevices(const CudaPlugin& plugin);

}  // namespace sluice::worker
