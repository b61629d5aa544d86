// SPDX-License-Identifier: Apache-2.0
#include "worker/service/device_choice.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/service/cuda_plugin.h"

namespace sluice::worker {
namespace {

constexpr int kMostStepTokens = 1 << 16;

// Large enough to keep the device busy, small enough that a chunk does not hold up decoding rows.
struct Defaults {
  int max_num_seqs;
  int step_tokens;          // where something decodes
  int prefill_step_tokens;  // where nothing does
};
constexpr Defaults kCpuDefaults = {64, 128, 128};
constexpr Defaults kCudaDefaults = {256, 2048, 8192};

absl::StatusOr<std::vector<CudaDevice>> FindDevices() {
  SLUICE_ASSIGN_OR_RETURN(const CudaPlugin* plugin, OpenCudaPlugin());
  return UsableCudaDevices(*plugin);
}

}  // namespace

absl::Status FillDeviceDefaults(WorkerOptions* options) {
  const Defaults& defaults = options->device == Device::kCuda ? kCudaDefaults : kCpuDefaults;
  if (options->max_num_seqs == 0) options->max_num_seqs = defaults.max_num_seqs;
  if (options->max_batched_tokens == 0) {
    options->max_batched_tokens = std::max(defaults.step_tokens, options->max_num_seqs);
    options->max_prefill_tokens = std::max(defaults.prefill_step_tokens, options->max_num_seqs);
  }
  // Every running sequence must be able to decode in one step.
  if (options->max_batched_tokens < options->max_num_seqs ||
      options->max_batched_tokens > kMostStepTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max-batched-tokens ", options->max_batched_tokens, ": must be between ",
                     options->max_num_seqs, " and ", kMostStepTokens));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ResolveDevice(WorkerOptions* options) {
  std::string note;
  if (options->device != Device::kCpu) {
    const absl::StatusOr<std::vector<CudaDevice>> devices = FindDevices();
    if (devices.ok()) {
      const int count = static_cast<int>(devices->size());
      if (options->rank < 0 && count < options->tp_size) {
        return absl::FailedPreconditionError(
            absl::StrCat("--tp-size ", options->tp_size, " needs as many GPUs, but ", count,
                         count == 1 ? " is" : " are", " visible; lower it, or use --device cpu"));
      }
      options->device = Device::kCuda;
    } else if (options->device == Device::kCuda) {
      return absl::FailedPreconditionError(absl::StrCat(
          "--device cuda: ", devices.status().message(), "; use --device cpu or auto"));
    } else {
      options->device = Device::kCpu;
      note = absl::StrCat("running on the CPU: ", devices.status().message());
    }
  }
  SLUICE_RETURN_IF_ERROR(FillDeviceDefaults(options));
  return note;
}

int DeviceIndexOf(int rank, int num_devices) { return std::max(rank, 0) % num_devices; }

}  // namespace sluice::worker
