// SPDX-License-Identifier: Apache-2.0
// Memory with one owner: DeviceBuffer on the device that was current when it was allocated,
// PinnedBuffer on the host, page-locked, where the device copies from and to without a detour.
//
// Allocating and freeing wait for the device, so neither happens in a step. Moved on any thread;
// destroyed with the same device current. Whoever destroys one has seen the streams pass its last
// use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::worker::device {

enum class MemoryKind { kDevice, kPinned };

template <MemoryKind kKind>
class Buffer {
 public:
  Buffer() = default;
  // what: for the message when memory is short, "the KV cache". Aligned to 256 bytes; not zeroed.
  // 0 bytes: an empty buffer.
  static absl::StatusOr<Buffer> Allocate(int64_t bytes, absl::string_view what);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { Swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).Swap(*this);
    return *this;
  }

  int64_t bytes() const { return bytes_; }
  void* data() const { return data_; }
  // The elements from a byte offset on; null in an empty buffer.
  template <typename T>
  T* As(int64_t offset_bytes = 0) const {
    return data_ == nullptr ? nullptr
                            : reinterpret_cast<T*>(static_cast<std::byte*>(data_) + offset_bytes);
  }

 private:
  void Swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

using DeviceBuffer = Buffer<MemoryKind::kDevice>;
using PinnedBuffer = Buffer<MemoryKind::kPinned>;

}  // namespace sluice::worker::device
