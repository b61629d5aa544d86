// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/device_communicator.h"

#include "kernels/awq/sum_pieces.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker {

absl::Status DeviceCommunicator::AllReduceLinear(const kernels::awq::LinearOutput& part, float* out,
                                                 cudaStream_t stream) {
  SLUICE_RETURN_IF_ERROR(device::ToStatus(kernels::awq::SumPieces(part, out, stream)));
  return AllReduceSum(out, int64_t{part.rows} * part.outputs, stream);
}

absl::StatusOr<std::optional<kernels::awq::RowScale>> DeviceCommunicator::AllReduceScaledNorm(
    const kernels::awq::LinearOutput&, const kernels::collective::ScaledNorm&, cudaStream_t) {
  return std::nullopt;
}

absl::StatusOr<bool> DeviceCommunicator::AllReduceAddRmsNorm(const kernels::norm::AddRmsNorm&,
                                                             cudaStream_t) {
  return false;
}

}  // namespace sluice::worker
