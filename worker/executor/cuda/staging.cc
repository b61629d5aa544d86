// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/staging.h"

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker {
namespace {

constexpr int64_t kAlignment = 16;

}  // namespace

absl::StatusOr<Staging> Staging::Create(const device::DeviceBuffer* device_memory) {
  Staging staging;
  SLUICE_ASSIGN_OR_RETURN(staging.host_,
                          device::PinnedBuffer::Allocate(device_memory->bytes(), "step lists"));
  staging.device_ = device_memory;
  return staging;
}

absl::StatusOr<Staging::Place> Staging::Reserve(int64_t bytes, cudaStream_t stream) {
  if (bytes > capacity()) {
    return absl::InternalError(
        absl::StrCat("a list of ", bytes, " bytes does not fit ", capacity(), " of staging"));
  }
  if (used_ + bytes > capacity()) {
    SLUICE_RETURN_IF_ERROR(
        device::ToStatus(cudaStreamSynchronize(stream), "waiting for room to stage a step"));
    used_ = 0;
  }
  const Place place = {host_.As<std::byte>(used_), device_->As<std::byte>(used_), bytes};
  used_ = (used_ + bytes + kAlignment - 1) / kAlignment * kAlignment;
  return place;
}

absl::Status Staging::Copy(const Place& place, cudaStream_t stream) {
  return device::ToStatus(
      cudaMemcpyAsync(place.device, place.host, static_cast<size_t>(place.bytes),
                      cudaMemcpyHostToDevice, stream),
      "copying a step's lists");
}

}  // namespace sluice::worker
