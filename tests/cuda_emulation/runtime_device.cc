// SPDX-License-Identifier: Apache-2.0
// The emulated runtime: errors and devices.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>

#include "tests/cuda_emulation/memory.h"
#include "tests/cuda_emulation/settings.h"
#include "tests/cuda_emulation/simt.h"
#include "tests/cuda_emulation/submit.h"

namespace sluice::cuda_emulation {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;

bool IsDevice(int device) { return device >= 0 && device < TheSettings().num_devices; }

constexpr int kL2Bytes = 50 << 20;

}  // namespace

Settings& TheSettings() {
  static Settings settings;
  return settings;
}

cudaError_t Report(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

int CurrentDevice() { return current_device; }

}  // namespace sluice::cuda_emulation

using namespace sluice::cuda_emulation;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define SLUICE_NAME(name) \
  case name:              \
    return #name;
    SLUICE_NAME(cudaSuccess)
    SLUICE_NAME(cudaErrorInvalidValue)
    SLUICE_NAME(cudaErrorMemoryAllocation)
    SLUICE_NAME(cudaErrorInvalidConfiguration)
    SLUICE_NAME(cudaErrorInsufficientDriver)
    SLUICE_NAME(cudaErrorInvalidDevice)
    SLUICE_NAME(cudaErrorNoDevice)
    SLUICE_NAME(cudaErrorInvalidResourceHandle)
    SLUICE_NAME(cudaErrorIllegalState)
    SLUICE_NAME(cudaErrorNotReady)
    SLUICE_NAME(cudaErrorIllegalAddress)
    SLUICE_NAME(cudaErrorPeerAccessAlreadyEnabled)
    SLUICE_NAME(cudaErrorLaunchFailure)
    SLUICE_NAME(cudaErrorNotSupported)
    SLUICE_NAME(cudaErrorStreamCaptureUnsupported)
    SLUICE_NAME(cudaErrorStreamCaptureInvalidated)
    SLUICE_NAME(cudaErrorStreamCaptureIsolation)
    SLUICE_NAME(cudaErrorStreamCaptureImplicit)
    SLUICE_NAME(cudaErrorCapturedEvent)
    SLUICE_NAME(cudaErrorUnknown)
#undef SLUICE_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidValue:
      return "invalid argument";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = TheSettings().num_devices;
  return *count > 0 ? cudaSuccess : Report(cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (!IsDevice(device)) return Report(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = RefuseWhileCapturing(); error != cudaSuccess) return error;
  WaitForAllStreams();
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!IsDevice(device)) return Report(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = TheSettings().NumSmsOf(device);
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = kL2Bytes;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(kMaxSharedBytes) + 1024;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kMaxSharedBytes);
      return cudaSuccess;
  }
  return Report(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int size, int device) {
  if (!IsDevice(device)) return Report(cudaErrorInvalidDevice);
  std::snprintf(id, static_cast<size_t>(size), "0000:%02x:00.0", device);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* id) {
  unsigned number = 0;
  if (std::sscanf(id, "0000:%x:00.0", &number) != 1) return Report(cudaErrorInvalidValue);
  if (!IsDevice(static_cast<int>(number))) return Report(cudaErrorInvalidDevice);
  *device = static_cast<int>(number);
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!IsDevice(device) || !IsDevice(peer)) return Report(cudaErrorInvalidDevice);
  *can = device != peer && TheSettings().peer_access ? 1 : 0;
  return cudaSuccess;
}

// All memory is every device's here, before this call too.
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
  return IsDevice(peer) && peer != current_device ? cudaSuccess : Report(cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!IsDevice(device)) return Report(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof(properties->name), "Emulated device");
  properties->totalGlobalMem = TheSettings().memory_bytes;
  properties->sharedMemPerBlock = kDefaultSharedBytes;
  properties->sharedMemPerBlockOptin = kMaxSharedBytes;
  properties->regsPerBlock = 65536;
  properties->warpSize = kWarpLanes;
  properties->maxThreadsPerBlock = kMaxBlockThreads;
  properties->major = 9;
  properties->multiProcessorCount = TheSettings().NumSmsOf(device);
  properties->l2CacheSize = kL2Bytes;
  properties->pciBusID = device;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = TheSettings().memory_bytes;
  *free = *total - AllocatedBytes(current_device);
  return cudaSuccess;
}
