// SPDX-License-Identifier: Apache-2.0
// What `--device auto` comes to on this machine, and the sizes that depend on it. Called once by
// main, before anything else is sized.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/service/worker_options.h"

namespace sluice::worker {

// Turns kAuto into kCuda, or kCpu where no GPU can be used, and fills in what --max-num-seqs and
// --max-batched-tokens leave to the device. Returns why auto took the CPU; empty otherwise. An error
// is one sentence: kCuda cannot be had, there are fewer GPUs than ranks, or sizes contradict each
// other.
absl::StatusOr<std::string> ResolveDevice(WorkerOptions* options);

// The second half of it. REQUIRES: device is not kAuto.
absl::Status FillDeviceDefaults(WorkerOptions* options);

// Among num_devices: a host whose ranks each see one GPU has it at 0.
int DeviceIndexOf(int rank, int num_devices);

}  // namespace sluice::worker
