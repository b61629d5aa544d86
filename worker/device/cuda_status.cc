// SPDX-License-Identifier: Apache-2.0
#include "worker/device/cuda_status.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace sluice::worker::device {

absl::Status ToStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message = absl::StrCat("CUDA: ", what, ": ", cudaGetErrorName(error), " (",
                                           cudaGetErrorString(error), ")");
  return error == cudaErrorMemoryAllocation ? absl::ResourceExhaustedError(message)
                                            : absl::InternalError(message);
}

absl::Status ToStatus(const kernels::LaunchResult& result) {
  return result.ok() ? absl::OkStatus() : ToStatus(result.error, result.problem);
}

}  // namespace sluice::worker::device
