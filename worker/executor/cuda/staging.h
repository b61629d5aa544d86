// SPDX-License-Identifier: Apache-2.0
// Staging: how lists whose lengths vary from step to step come to the device: written into pinned
// host memory, copied on the step's stream, read there by a kernel of the same step. The pinned
// side belongs to one step in flight, the device side to the stream, which orders its uses.
//
// A list that does not fit waits for the stream and starts over: rare, and slow rather than wrong.
// Used by the step thread.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/device_buffer.h"

namespace sluice::worker {

class Staging {
 public:
  // device_memory: shared by the stagings of one stream, as large as each of them; it outlives
  // them.
  static absl::StatusOr<Staging> Create(const device::DeviceBuffer* device_memory);
  Staging() = default;

  // A step begins. REQUIRES: the copies of the step that used this before have run.
  void Reset() { used_ = 0; }

  // Room for `bytes` on both sides, aligned to 16. INTERNAL when it is more than there is at all.
  struct Place {
    std::byte* host = nullptr;
    std::byte* device = nullptr;
    int64_t bytes = 0;
  };
  absl::StatusOr<Place> Reserve(int64_t bytes, cudaStream_t stream);
  // Enqueues the copy of what was written to place.host.
  static absl::Status Copy(const Place& place, cudaStream_t stream);

  int64_t capacity() const { return host_.bytes(); }

  // Copies an array, in pieces of at most capacity(), and calls use with each piece on the device.
  template <typename T>
  absl::Status CopyArray(std::span<const T> values, cudaStream_t stream,
                         absl::FunctionRef<absl::Status(const T* device, int count)> use);

 private:
  device::PinnedBuffer host_;
  const device::DeviceBuffer* device_ = nullptr;
  int64_t used_ = 0;
};

template <typename T>
absl::Status Staging::CopyArray(std::span<const T> values, cudaStream_t stream,
                                absl::FunctionRef<absl::Status(const T*, int)> use) {
  const auto most = static_cast<size_t>(capacity()) / sizeof(T);
  for (size_t done = 0; done < values.size();) {
    const std::span<const T> piece = values.subspan(done, std::min(most, values.size() - done));
    absl::StatusOr<Place> place = Reserve(static_cast<int64_t>(piece.size_bytes()), stream);
    if (!place.ok()) return place.status();
    std::copy(piece.begin(), piece.end(), reinterpret_cast<T*>(place->host));
    absl::Status status = Copy(*place, stream);
    if (status.ok()) {
      status = use(reinterpret_cast<const T*>(place->device), static_cast<int>(piece.size()));
    }
    if (!status.ok()) return status;
    done += piece.size();
  }
  return absl::OkStatus();
}

}  // namespace sluice::worker
