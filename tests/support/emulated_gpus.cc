// SPDX-License-Identifier: Apache-2.0
// Linked into the CUDA plugin that tests build on the emulator: how many GPUs such a worker sees.
#include <cstdlib>

#include "tests/cuda_emulation/settings.h"

namespace {

const bool settled = [] {
  const char* const count = std::getenv("SLUICE_EMULATED_GPUS");
  sluice::cuda_emulation::TheSettings().num_devices = count == nullptr ? 2 : std::atoi(count);
  return true;
}();

}  // namespace
