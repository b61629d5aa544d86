// SPDX-License-Identifier: Apache-2.0
// What the emulated machine looks like. Tests change it before the code under test asks.
#pragma once

#include <chrono>
#include <cstddef>

namespace sluice::cuda_emulation {

struct Settings {
  int num_devices = 1;
  bool peer_access = true;  // devices reach each other's memory
  int num_sms = 4;         // few, so that plans cut work into more than one block but not into many
  int fewer_sms_each = 0;  // than the device before it has
  size_t memory_bytes = size_t{4} << 30;  // of each device
  // Work on a stream begins when someone waits for it, or after so long: as late as a GPU might.
  std::chrono::microseconds lateness{2000};

  int NumSmsOf(int device) const { return num_sms - device * fewer_sms_each; }
};

Settings& TheSettings();

}  // namespace sluice::cuda_emulation
