// SPDX-License-Identifier: Apache-2.0
#include "worker/device/current_device.h"

#include <cuda_runtime_api.h>

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker::device {

absl::Status SetDevice(int index) {
  return ToStatus(cudaSetDevice(index), absl::StrCat("choosing GPU ", index));
}

absl::StatusOr<DeviceMemory> QueryMemory() {
  size_t free = 0;
  size_t total = 0;
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaMemGetInfo(&free, &total), "asking for free memory"));
  return DeviceMemory{.free_bytes = static_cast<int64_t>(free),
                      .total_bytes = static_cast<int64_t>(total)};
}

absl::StatusOr<int> NumMultiprocessors(int index) {
  int number = 0;
  SLUICE_RETURN_IF_ERROR(
      ToStatus(cudaDeviceGetAttribute(&number, cudaDevAttrMultiProcessorCount, index),
               "asking for the number of multiprocessors"));
  return number;
}

}  // namespace sluice::worker::device
