// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/cuda_devices.h"

#include <cuda_runtime_api.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker {
namespace {

std::string VersionText(int version) {  // 13000 is 13.0
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::Status WhyNoDriver(cudaError_t error) {
  int driver = 0;  // stays 0 where there is none
  cudaDriverGetVersion(&driver);
  if (driver == 0) {
    return absl::UnavailableError("no NVIDIA driver is installed here (libcuda.so.1 is not found)");
  }
  if (error == cudaErrorInsufficientDriver) {
    return absl::UnavailableError(absl::StrCat("the NVIDIA driver is too old: it speaks CUDA ",
                                               VersionText(driver), ", this build needs ",
                                               VersionText(CUDART_VERSION)));
  }
  return absl::UnavailableError(absl::StrCat("the NVIDIA driver does not work: ",
                                             cudaGetErrorName(error), " (",
                                             cudaGetErrorString(error), ")"));
}

}  // namespace

absl::StatusOr<std::vector<CudaDevice>> ListCudaDevices() {
  std::vector<CudaDevice> devices;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) cudaGetLastError();  // reported here
  if (error == cudaErrorNoDevice) return devices;
  if (error != cudaSuccess) return WhyNoDriver(error);
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties = {};
    SLUICE_RETURN_IF_ERROR(device::ToStatus(cudaGetDeviceProperties(&properties, index),
                                            absl::StrCat("asking about GPU ", index)));
    devices.push_back({.name = properties.name,
                       .compute_major = properties.major,
                       .compute_minor = properties.minor,
                       .total_bytes = static_cast<int64_t>(properties.totalGlobalMem)});
  }
  return devices;
}

}  // namespace sluice::worker
