// SPDX-License-Identifier: Apache-2.0
#include "worker/device/device_buffer.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker::device {

absl::StatusOr<DeviceBuffer> DeviceBuffer::Allocate(int64_t bytes, absl::string_view what) {
  DeviceBuffer buffer;
  if (bytes == 0) return buffer;
  const cudaError_t error = cudaMalloc(&buffer.data_, static_cast<size_t>(bytes));
  if (error != cudaSuccess) {
    buffer.data_ = nullptr;
    cudaGetLastError();  // reported here, so not to the next who asks
  }
  SLUICE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat(bytes, " bytes for ", what)));
  buffer.bytes_ = bytes;
  return buffer;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) cudaFree(data_);
}

absl::StatusOr<PinnedBuffer> PinnedBuffer::Allocate(int64_t bytes, absl::string_view what) {
  PinnedBuffer buffer;
  if (bytes == 0) return buffer;
  const cudaError_t error = cudaMallocHost(&buffer.data_, static_cast<size_t>(bytes));
  if (error != cudaSuccess) {
    buffer.data_ = nullptr;
    cudaGetLastError();
  }
  SLUICE_RETURN_IF_ERROR(
      ToStatus(error, absl::StrCat(bytes, " bytes of page-locked host memory for ", what)));
  buffer.bytes_ = bytes;
  return buffer;
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) cudaFreeHost(data_);
}

}  // namespace sluice::worker::device
