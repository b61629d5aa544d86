// SPDX-License-Identifier: Apache-2.0
// The emulated device's memory and the host's pinned memory. An allocation is NaN (0xff) at first
// and ends, up to its alignment of 256, at a page that faults; what lies around it within its pages
// is checked when it is freed. Freed memory faults. Any thread may call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::cuda_emulation {

enum class MemoryKind { kPageable, kPinned, kDevice };

// Null when the device has no room.
void* Allocate(size_t bytes, MemoryKind kind, int device);
// False for what is not the beginning of an allocation of this kind. Ends the process when the
// bytes around the allocation have changed.
bool Free(void* pointer, MemoryKind kind);

// What [pointer, pointer + bytes) lies in; `whole` is false when only a part of it does.
struct Placement {
  MemoryKind kind = MemoryKind::kPageable;
  int device = 0;
  bool whole = true;
  const uint8_t *begin = nullptr, *end = nullptr;  // the allocation
};
Placement Find(const void* pointer, size_t bytes);

size_t AllocatedBytes(int device);

}  // namespace sluice::cuda_emulation
