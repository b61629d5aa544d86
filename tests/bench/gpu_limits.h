// SPDX-License-Identifier: Apache-2.0
// What one GPU can do, which benches divide by for floors.
#pragma once

namespace sluice {

// The defaults are an H100's, as measured.
struct GpuLimits {
  double bandwidth = 3.0e12;  // bytes/s
  double flops = 7.9e14;      // operations/s, bf16
};

}  // namespace sluice
