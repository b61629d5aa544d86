// SPDX-License-Identifier: Apache-2.0
#include "worker/service/cuda_plugin.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

// The kernels are compiled for this compute capability alone: Hopper's.
constexpr int kComputeMajor = 9;
constexpr int kComputeMinor = 0;

bool Exists(const std::string& file) {
  std::error_code error;
  return file.find('/') != std::string::npos && std::filesystem::exists(file, error);
}

absl::StatusOr<CudaPlugin> Enter(void* library, const std::string& file) {
  CudaPlugin plugin;
  const auto enter = reinterpret_cast<CudaPluginEntry>(dlsym(library, kCudaPluginEntry));
  if (enter == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(file, " is no CUDA plugin of Sluice"));
  }
  if (const char* refusal = enter(CudaPluginBuildId(), &plugin)) {
    return absl::FailedPreconditionError(absl::StrCat(file, " cannot be used: ", refusal));
  }
  return plugin;
}

std::vector<std::string> PluginFiles() {
  std::error_code error;
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::string> files;
  if (!error) {
    const auto root = executable.parent_path().parent_path();
    files.push_back((root / "lib" / kCudaPluginFile).string());
  }
  files.emplace_back(kCudaPluginFile);
  return files;
}

}  // namespace

absl::StatusOr<CudaPlugin> OpenCudaPluginFrom(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    // Never closed: threads, contexts and objects of the driver stay.
    if (void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      return Enter(library, file);
    }
    const char* const why = dlerror();  // NOLINT(concurrency-mt-unsafe): the thread's own
    if (Exists(file)) {
      return absl::FailedPreconditionError(
          absl::StrCat(file, " cannot be loaded: ", why == nullptr ? "no reason given" : why));
    }
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "this installation has no CUDA plugin (looked for ", absl::StrJoin(files, ", "), ")"));
}

absl::StatusOr<const CudaPlugin*> OpenCudaPlugin() {
  static const absl::StatusOr<CudaPlugin> plugin = OpenCudaPluginFrom(PluginFiles());
  SLUICE_RETURN_IF_ERROR(plugin.status());
  return &*plugin;
}

absl::StatusOr<std::vector<CudaDevice>> UsableCudaDevices(const CudaPlugin& plugin) {
  absl::StatusOr<std::vector<CudaDevice>> devices = plugin.devices();
  if (!devices.ok()) return absl::FailedPreconditionError(devices.status().message());
  if (devices->empty()) {
    return absl::FailedPreconditionError(
        "the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES may hide them)");
  }
  for (size_t index = 0; index < devices->size(); ++index) {
    const CudaDevice& device = (*devices)[index];
    if (device.compute_major == kComputeMajor && device.compute_minor == kComputeMinor) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("GPU ", index, " (", device.name, ") has compute capability ",
                     device.compute_major, ".", device.compute_minor, "; this build runs on ",
                     kComputeMajor, ".", kComputeMinor, " (H100, H200, GH200) alone",
                     devices->size() == 1 ? "" : ", hide it with CUDA_VISIBLE_DEVICES"));
  }
  return devices;
}

}  // namespace sluice::worker
