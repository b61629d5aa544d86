// SPDX-License-Identifier: Apache-2.0
// From the CUDA runtime's error codes to absl::Status. RESOURCE_EXHAUSTED when memory is short,
// INTERNAL for everything else: after most of them the process's context is of no more use.
#pragma once

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/host/launch_result.h"

namespace sluice::worker::device {

// what: the call or what it was for, "copying tensor lm_head.weight".
absl::Status ToStatus(cudaError_t error, absl::string_view what);
absl::Status ToStatus(const kernels::LaunchResult& result);

}  // namespace sluice::worker::device
