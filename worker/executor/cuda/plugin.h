// SPDX-License-Identifier: Apache-2.0
// What libsluice_cuda.so hands to the worker that opens it: one exported function, which fills a
// table of functions. Beyond that function the interface is C++ (Status, ModelFolder, Executor by
// their layout in memory), so worker and plugin must be of one build: the worker says its id, and
// a plugin with another fills nothing.
//
// Everything that comes out of the plugin lives as long as the process: it is never closed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/executor/cuda/cuda_executor_options.h"
#include "worker/executor/executor.h"
#include "worker/model/model_folder.h"
#include "worker/parallel/all_reduce_path.h"

namespace sluice::worker {

class DeviceCommunicator;  // worker/parallel/device_communicator.h, which needs CUDA's headers

struct CudaDevice {
  std::string name;  // "NVIDIA H100 80GB HBM3"
  int compute_major = 0;
  int compute_minor = 0;
  int64_t total_bytes = 0;
};

// Destroys what the plugin has made with the plugin's own code.
struct DeviceCommunicatorDeleter {
  void operator()(DeviceCommunicator* communicator) const;
  void (*destroy)(DeviceCommunicator*) = nullptr;
};
using DeviceCommunicatorPtr = std::unique_ptr<DeviceCommunicator, DeviceCommunicatorDeleter>;
inline void DeviceCommunicatorDeleter::operator()(DeviceCommunicator* communicator) const {
  destroy(communicator);
}

struct DeviceCommunicatorOptions {
  int device_index = 0;
  int rank = 0;
  int world_size = 1;
  std::string unique_id;  // rank 0's, the same on all ranks; empty for a group of one
  AllReduceMode all_reduce = AllReduceMode::kAuto;
};

// All functions may be called from any thread.
struct CudaPlugin {
  static constexpr uint32_t kVersion = 1;
  uint32_t version = kVersion;  // set by the worker, checked by the plugin

  // The GPUs that CUDA_VISIBLE_DEVICES leaves. UNAVAILABLE without a driver that works; creates no
  // context.
  absl::StatusOr<std::vector<CudaDevice>> (*devices)() = nullptr;

  // Loads a rank's shard and allocates its pages; blocks for as long as that takes. communicator
  // outlives the executor.
  absl::StatusOr<std::unique_ptr<Executor>> (*create_executor)(
      const ModelFolder& folder, const CudaExecutorOptions& options,
      DeviceCommunicator* communicator) = nullptr;

  // How a rank's memory would be shared out on the device, as lines of text; loads nothing.
  absl::StatusOr<std::string> (*describe_memory)(const ModelFolder& folder,
                                                 const CudaExecutorOptions& options) = nullptr;

  // Opaque bytes that rank 0 makes once for a group and sends to the others.
  absl::StatusOr<std::string> (*create_unique_id)() = nullptr;
  // Starts to meet the other ranks and returns; create_executor waits for them
  // (DeviceCommunicator::WaitReady), rank 0 for two minutes, the others until they are aborted,
  // since only rank 0 knows whether all have joined.
  absl::StatusOr<DeviceCommunicatorPtr> (*create_communicator)(
      const DeviceCommunicatorOptions& options) = nullptr;
  // DeviceCommunicator::Describe and Abort, for those who do not know the class.
  std::string (*describe_communicator)(const DeviceCommunicator& communicator) = nullptr;
  void (*abort_communicator)(DeviceCommunicator* communicator) = nullptr;
};

// Of this binary: version, compiler, and a digest of every header behind the interface.
const char* CudaPluginBuildId();

// The exported function. Null when it has filled *plugin; else a sentence (static text).
using CudaPluginEntry = const char* (*)(const char* build_id, CudaPlugin* plugin);
inline constexpr char kCudaPluginEntry[] = "sluice_cuda_plugin";
inline constexpr char kCudaPluginFile[] = "libsluice_cuda.so";

}  // namespace sluice::worker
