// SPDX-License-Identifier: Apache-2.0
// The emulated device's memory and the host's pinned memory. An allocation is NaN (0xff) at first
// and ends, up to its alignment of 256, at a page that faults; what lies around it within its pages
// is checked when it is freed. Freed memory faults. Any thread may call.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace sluice::cuda_emulation {

enum class MemoryKind { kPageable, kPinned, kDevice };

// Null when the device has no room.
void* Allocate(size_t bytes, MemoryKind kind, int device);
// False for what is not the beginning of an allocation of this kind. Ends the process when the
// bytes around the allocation have changed.
bool Free(void* pointer, MemoryKind kind);

// How another process finds an allocation of this one.
struct SharedPlace {
  pid_t process;
  int descriptor;     // in that process
  size_t page_bytes;  // of its pages
  size_t offset;      // of the allocation in them
  size_t bytes;       // of the allocation
};
// From now on other processes can map it. REQUIRES: nobody uses the memory meanwhile. False for
// what is not the beginning of an allocation on the device.
bool Share(void* pointer, SharedPlace* place);
// Another process's allocation, as memory of the current device that Free does not take. Null when
// that process has ended.
void* MapShared(const SharedPlace& place, int device);
bool UnmapShared(void* pointer);

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
