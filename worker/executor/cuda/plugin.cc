// SPDX-License-Identifier: Apache-2.0
// The one function that libsluice_cuda.so exports (plugin.map), and what it hands over.
#include "worker/executor/cuda/plugin.h"

#include <cstring>
#include <utility>

#include "proto/wire/status_macros.h"
#include "worker/device/current_device.h"
#include "worker/executor/cuda/cuda_devices.h"
#include "worker/executor/cuda/cuda_executor.h"
#include "worker/parallel/device_communicator.h"
#include "worker/parallel/device_group.h"

namespace sluice::worker {
namespace {

absl::StatusOr<std::unique_ptr<Executor>> CreateExecutor(const ModelFolder& folder,
                                                         const CudaExecutorOptions& options,
                                                         DeviceCommunicator* communicator) {
  SLUICE_ASSIGN_OR_RETURN(auto executor, CudaExecutor::Create(folder, options, communicator));
  return std::unique_ptr<Executor>(std::move(executor));
}

absl::StatusOr<DeviceCommunicatorPtr> CreateCommunicator(const DeviceCommunicatorOptions& options) {
  SLUICE_RETURN_IF_ERROR(device::SetDevice(options.device_index));
  SLUICE_ASSIGN_OR_RETURN(
      auto communicator,
      StartDeviceCommunicator(options.device_index, options.rank, options.world_size,
                              options.unique_id, options.all_reduce));
  return DeviceCommunicatorPtr(
      communicator.release(),
      DeviceCommunicatorDeleter{[](DeviceCommunicator* ended) { delete ended; }});
}

}  // namespace
}  // namespace sluice::worker

extern "C" const char* sluice_cuda_plugin(const char* build_id, sluice::worker::CudaPlugin* plugin);

const char* sluice_cuda_plugin(const char* build_id, sluice::worker::CudaPlugin* plugin) {
  using sluice::worker::CudaPlugin;
  if (std::strcmp(build_id, sluice::worker::CudaPluginBuildId()) != 0) {
    return "it is of another build than this worker; install both from one package";
  }
  if (plugin->version != CudaPlugin::kVersion) {
    return "it speaks another version of the interface than this worker; install both from one "
           "package";
  }
  plugin->devices = sluice::worker::ListCudaDevices;
  plugin->create_executor = sluice::worker::CreateExecutor;
  plugin->describe_memory = sluice::worker::CudaExecutor::DescribeMemory;
  plugin->create_unique_id = sluice::worker::MakeDeviceGroupId;
  plugin->create_communicator = sluice::worker::CreateCommunicator;
  plugin->describe_communicator = [](const sluice::worker::DeviceCommunicator& communicator) {
    return communicator.Describe();
  };
  plugin->abort_communicator = [](sluice::worker::DeviceCommunicator* communicator) {
    communicator->Abort();
  };
  return nullptr;
}
