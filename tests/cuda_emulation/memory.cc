// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/cuda_emulation/settings.h"

namespace sluice::cuda_emulation {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kAlignment = 256;
constexpr uint8_t kGuard = 0xa5;

size_t RoundUp(size_t value, size_t to) { return (value + to - 1) / to * to; }

struct Allocation {
  size_t bytes;
  MemoryKind kind;
  int device;
  uint8_t* pages;  // kPageBytes before the first and behind the last fault
  size_t page_bytes;
  int descriptor = -1;  // of what other processes can map
  bool mapped = false;  // another process's
};

struct Heap {
  std::mutex mutex;
  std::map<uintptr_t, Allocation> allocations;
};

Heap& TheHeap() {
  static Heap* heap = new Heap;
  return *heap;
}

uintptr_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

void CheckGuards(const uint8_t* data, const Allocation& allocation) {
  const uint8_t* const end = allocation.pages + allocation.page_bytes;
  for (const uint8_t* at = allocation.pages; at < end; ++at) {
    if (at == data) at += allocation.bytes;
    if (at < end && *at != kGuard) {
      std::fprintf(stderr, "CUDA emulation: byte %td of an allocation of %zu bytes was written\n",
                   at - data, allocation.bytes);
      std::abort();
    }
  }
}

}  // namespace

void* Allocate(size_t bytes, MemoryKind kind, int device) {
  if (kind == MemoryKind::kDevice && AllocatedBytes(device) + bytes > TheSettings().memory_bytes) {
    return nullptr;
  }
  const size_t page_bytes = RoundUp(bytes == 0 ? 1 : bytes, kPageBytes);
  void* memory = mmap(nullptr, page_bytes + 2 * kPageBytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* pages = static_cast<uint8_t*>(memory) + kPageBytes;
  if (mprotect(pages, page_bytes, PROT_READ | PROT_WRITE) != 0) return nullptr;
  uint8_t* data = pages + page_bytes - RoundUp(bytes, kAlignment);
  if (bytes == 0) data = pages;
  std::memset(pages, kGuard, static_cast<size_t>(data - pages));
  std::memset(data, 0xff, bytes);
  std::memset(data + bytes, kGuard, static_cast<size_t>(pages + page_bytes - data) - bytes);
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  heap.allocations[Address(data)] = {
      .bytes = bytes, .kind = kind, .device = device, .pages = pages, .page_bytes = page_bytes};
  return data;
}

bool Free(void* pointer, MemoryKind kind) {
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  const auto found = heap.allocations.find(Address(pointer));
  if (found == heap.allocations.end() || found->second.kind != kind || found->second.mapped) {
    return false;
  }
  const Allocation& allocation = found->second;
  CheckGuards(static_cast<const uint8_t*>(pointer), allocation);
  if (allocation.descriptor >= 0) close(allocation.descriptor);
  munmap(allocation.pages - kPageBytes, allocation.page_bytes + 2 * kPageBytes);
  heap.allocations.erase(found);
  return true;
}

bool Share(void* pointer, SharedPlace* place) {
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  const auto found = heap.allocations.find(Address(pointer));
  if (found == heap.allocations.end() || found->second.kind != MemoryKind::kDevice) return false;
  Allocation& allocation = found->second;
  if (allocation.descriptor < 0) {
    // The same addresses get other pages, with the same bytes.
    const int descriptor = memfd_create("emulated device memory", MFD_CLOEXEC);
    if (descriptor < 0) return false;
    const auto size = static_cast<off_t>(allocation.page_bytes);
    if (ftruncate(descriptor, size) != 0 ||
        pwrite(descriptor, allocation.pages, allocation.page_bytes, 0) != size ||
        mmap(allocation.pages, allocation.page_bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, descriptor, 0) == MAP_FAILED) {
      close(descriptor);
      return false;
    }
    allocation.descriptor = descriptor;
  }
  *place = {getpid(), allocation.descriptor, allocation.page_bytes,
            static_cast<size_t>(static_cast<uint8_t*>(pointer) - allocation.pages),
            allocation.bytes};
  return true;
}

void* MapShared(const SharedPlace& place, int device) {
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/%d/fd/%d", place.process, place.descriptor);
  const int descriptor = open(path, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return nullptr;
  void* memory = mmap(nullptr, place.page_bytes + 2 * kPageBytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  auto* pages = static_cast<uint8_t*>(memory) + kPageBytes;
  const bool mapped =
      memory != MAP_FAILED && mmap(pages, place.page_bytes, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_FIXED, descriptor, 0) != MAP_FAILED;
  close(descriptor);
  if (!mapped) return nullptr;
  uint8_t* data = pages + place.offset;
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  heap.allocations[Address(data)] = {.bytes = place.bytes,
                                     .kind = MemoryKind::kDevice,
                                     .device = device,
                                     .pages = pages,
                                     .page_bytes = place.page_bytes,
                                     .mapped = true};
  return data;
}

bool UnmapShared(void* pointer) {
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  const auto found = heap.allocations.find(Address(pointer));
  if (found == heap.allocations.end() || !found->second.mapped) return false;
  munmap(found->second.pages - kPageBytes, found->second.page_bytes + 2 * kPageBytes);
  heap.allocations.erase(found);
  return true;
}

Placement Find(const void* pointer, size_t bytes) {
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  auto after = heap.allocations.upper_bound(Address(pointer));
  if (after != heap.allocations.begin()) {
    const auto& [address, allocation] = *std::prev(after);
    const uintptr_t end = address + allocation.bytes;
    if (Address(pointer) < end) {
      const auto* begin = reinterpret_cast<const uint8_t*>(address);
      return {allocation.kind, allocation.device, Address(pointer) + bytes <= end, begin,
              begin + allocation.bytes};
    }
  }
  // A range that begins in ordinary memory may still run into an allocation.
  const bool runs_in = after != heap.allocations.end() && Address(pointer) + bytes > after->first;
  return {MemoryKind::kPageable, 0, !runs_in, nullptr, nullptr};
}

size_t AllocatedBytes(int device) {
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  size_t sum = 0;
  for (const auto& [address, allocation] : heap.allocations) {
    if (allocation.kind == MemoryKind::kDevice && allocation.device == device &&
        !allocation.mapped) {
      sum += allocation.bytes;
    }
  }
  return sum;
}

}  // namespace sluice::cuda_emulation
