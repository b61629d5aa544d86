// SPDX-License-Identifier: Apache-2.0
#include "worker/device/device_buffer.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker::device {

template <MemoryKind kKind>
absl::StatusOr<Buffer<kKind>> Buffer<kKind>::Allocate(int64_t bytes, absl::string_view what) {
  constexpr bool kDevice = kKind == MemoryKind::kDevice;
  Buffer buffer;
  if (bytes == 0) return buffer;
  const auto size = static_cast<size_t>(bytes);
  const cudaError_t error =
      kDevice ? cudaMalloc(&buffer.data_, size) : cudaMallocHost(&buffer.data_, size);
  if (error != cudaSuccess) {
    buffer.data_ = nullptr;
    cudaGetLastError();  // reported here, so not to the next who asks
  }
  const char* kind = kDevice ? " bytes for " : " bytes of page-locked host memory for ";
  SLUICE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat(bytes, kind, what)));
  buffer.bytes_ = bytes;
  return buffer;
}

template <MemoryKind kKind>
Buffer<kKind>::~Buffer() {
  if (data_ == nullptr) return;
  kKind == MemoryKind::kDevice ? cudaFree(data_) : cudaFreeHost(data_);
}

template class Buffer<MemoryKind::kDevice>;
template class Buffer<MemoryKind::kPinned>;

}  // namespace sluice::worker::device
