// SPDX-License-Identifier: Apache-2.0
// The device that CUDA calls of this thread go to. Every thread that calls CUDA chooses it first.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::worker::device {

absl::Status SetDevice(int index);

struct DeviceMemory {
  int64_t free_bytes = 0;
  int64_t total_bytes = 0;
};
// Of the current device.
absl::StatusOr<DeviceMemory> QueryMemory();
absl::StatusOr<int> NumMultiprocessors(int index);

}  // namespace sluice::worker::device
