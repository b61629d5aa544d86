// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "worker/parallel/device_communicator.h"

namespace sluice::worker {

absl::Status SingleDeviceCommunicator::GatherToRoot(const float* local, float* out, int64_t count,
                                                    cudaStream_t stream) {
  if (local == out || count == 0) return absl::OkStatus();
  const cudaError_t error = cudaMemcpyAsync(
      out, local, static_cast<size_t>(count) * sizeof(float), cudaMemcpyDeviceToDevice, stream);
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("a gather of ", count, " values of one rank: ", cudaGetErrorString(error)));
}

}  // namespace sluice::worker
