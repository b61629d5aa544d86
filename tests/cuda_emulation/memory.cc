// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/memory.h"

#include <sys/mman.h>

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
  heap.allocations[Address(data)] = {bytes, kind, device, pages, page_bytes};
  return data;
}

bool Free(void* pointer, MemoryKind kind) {
  Heap& heap = TheHeap();
  const std::lock_guard<std::mutex> lock(heap.mutex);
  const auto found = heap.allocations.find(Address(pointer));
  if (found == heap.allocations.end() || found->second.kind != kind) return false;
  const Allocation& allocation = found->second;
  CheckGuards(static_cast<const uint8_t*>(pointer), allocation);
  munmap(allocation.pages - kPageBytes, allocation.page_bytes + 2 * kPageBytes);
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
    if (allocation.kind == MemoryKind::kDevice && allocation.device == device) {
      sum += allocation.bytes;
    }
  }
  return sum;
}

}  // namespace sluice::cuda_emulation
