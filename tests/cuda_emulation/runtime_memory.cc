// SPDX-License-Identifier: Apache-2.0
// The emulated runtime: memory and copies. A copy whose pointers do not lie where its kind says, or
// that runs over the end of an allocation, is an invalid value, and says so.
#include <cuda_runtime_api.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/cuda_emulation/memory.h"
#include "tests/cuda_emulation/submit.h"

using namespace sluice::cuda_emulation;

namespace {

struct Copy {
  uint8_t* to;
  size_t to_pitch;
  const uint8_t* from;
  size_t from_pitch;
  size_t width, height;

  size_t ToSpan() const { return height == 0 ? 0 : (height - 1) * to_pitch + width; }
  size_t FromSpan() const { return height == 0 ? 0 : (height - 1) * from_pitch + width; }
  void Run() const {
    for (size_t row = 0; row < height; ++row) {
      std::memmove(to + row * to_pitch, from + row * from_pitch, width);
    }
  }
};

bool Allows(bool want_device, const Placement& placement) {
  return placement.whole && (want_device ? placement.kind != MemoryKind::kPageable
                                         : placement.kind != MemoryKind::kDevice);
}

cudaError_t Refuse(const char* what) {
  std::fprintf(stderr, "CUDA emulation: %s\n", what);
  return Report(cudaErrorInvalidValue);
}

// Pageable memory is read or written before the call returns, unless the copy is captured.
cudaError_t CopyAsync(const Copy& copy, cudaMemcpyKind kind, cudaStream_t stream) {
  const Placement to = Find(copy.to, copy.ToSpan()), from = Find(copy.from, copy.FromSpan());
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (copy.to_pitch < copy.width || copy.from_pitch < copy.width) return Refuse("a copy's pitch");
  if (!to.whole || (kind != cudaMemcpyDefault && !Allows(to_device, to))) {
    return Refuse("a copy's target is not where its kind says, or too short");
  }
  if (!from.whole || (kind != cudaMemcpyDefault && !Allows(from_device, from))) {
    return Refuse("a copy's source is not where its kind says, or too short");
  }
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  if (from.kind == MemoryKind::kPageable && !IsCapturing(stream)) {
    const auto staged =
        std::make_shared<std::vector<uint8_t>>(copy.from, copy.from + copy.FromSpan());
    Copy from_staged = copy;
    from_staged.from = staged->data();
    return Submit(stream, [staged, from_staged] { from_staged.Run(); });
  }
  const cudaError_t error = Submit(stream, [copy] { copy.Run(); });
  if (error == cudaSuccess && to.kind == MemoryKind::kPageable && !IsCapturing(stream)) {
    WaitForStream(stream);
  }
  return error;
}

cudaError_t AllocateTo(void** pointer, size_t bytes, MemoryKind kind) {
  if (const cudaError_t error = RefuseWhileCapturing(); error != cudaSuccess) return error;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = Allocate(bytes, kind, CurrentDevice());
  return *pointer != nullptr ? cudaSuccess : Report(cudaErrorMemoryAllocation);
}

cudaError_t FreeAfterWork(void* pointer, MemoryKind kind) {
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t error = RefuseWhileCapturing(); error != cudaSuccess) return error;
  WaitForAllStreams();
  return Free(pointer, kind) ? cudaSuccess : Report(cudaErrorInvalidValue);
}

// The host goes on only after what it enqueued on the default stream.
cudaError_t AndWait(cudaError_t error) {
  if (error == cudaSuccess) WaitForStream(nullptr);
  return error;
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return AllocateTo(pointer, bytes, MemoryKind::kDevice);
}

cudaError_t cudaFree(void* pointer) { return FreeAfterWork(pointer, MemoryKind::kDevice); }

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return AllocateTo(pointer, bytes, MemoryKind::kPinned);
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return AllocateTo(pointer, bytes, MemoryKind::kPinned);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  if (Find(host, 1).kind != MemoryKind::kPinned) return Report(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) { return FreeAfterWork(pointer, MemoryKind::kPinned); }

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* pointer) {
  static_assert(sizeof(SharedPlace) <= sizeof(*handle));
  SharedPlace place = {};
  if (!Share(pointer, &place)) return Report(cudaErrorInvalidValue);
  *handle = {};
  std::memcpy(handle, &place, sizeof(place));
  return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle(void** pointer, cudaIpcMemHandle_t handle, unsigned) {
  SharedPlace place = {};
  std::memcpy(&place, &handle, sizeof(place));
  if (place.process == getpid()) return Report(cudaErrorInvalidValue);  // as CUDA has it
  *pointer = MapShared(place, CurrentDevice());
  return *pointer != nullptr ? cudaSuccess : Report(cudaErrorInvalidValue);
}

// Waits for the device, as a free does.
cudaError_t cudaIpcCloseMemHandle(void* pointer) {
  WaitForAllStreams();
  return UnmapShared(pointer) ? cudaSuccess : Report(cudaErrorInvalidValue);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const Placement placement = Find(pointer, 1);
  *attributes = {};
  auto* address = const_cast<void*>(pointer);
  attributes->device = placement.device;
  switch (placement.kind) {
    case MemoryKind::kPageable:
      attributes->type = cudaMemoryTypeUnregistered;
      attributes->hostPointer = address;
      break;
    case MemoryKind::kPinned:
      attributes->type = cudaMemoryTypeHost;
      attributes->hostPointer = attributes->devicePointer = address;
      break;
    case MemoryKind::kDevice:
      attributes->type = cudaMemoryTypeDevice;
      attributes->devicePointer = address;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return CopyAsync(
      {static_cast<uint8_t*>(to), bytes, static_cast<const uint8_t*>(from), bytes, bytes, 1}, kind,
      stream);
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  // Between places of the device even this one does not wait.
  return kind == cudaMemcpyDeviceToDevice ? error : AndWait(error);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return CopyAsync({static_cast<uint8_t*>(to), to_pitch, static_cast<const uint8_t*>(from),
                    from_pitch, width, height},
                   kind, stream);
}

cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind) {
  const cudaError_t error =
      cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, nullptr);
  return kind == cudaMemcpyDeviceToDevice ? error : AndWait(error);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (!Allows(true, Find(to, bytes)) && bytes > 0) return Refuse("a fill's target");
  if (bytes == 0) return cudaSuccess;
  return Submit(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
