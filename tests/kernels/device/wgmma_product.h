// SPDX-License-Identifier: Apache-2.0
// One product of a warpgroup in each way that kernels/device/wgmma.cuh offers, for its test.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/host/launch_result.h"

namespace sluice::kernels::device {

inline constexpr int kProductRows = 64;
inline constexpr int kProductDepth = 128;

struct WgmmaProduct {
  const __nv_bfloat16* a = nullptr;  // [kProductRows][kProductDepth]
  const __nv_bfloat16* b =
      nullptr;            // [columns][kProductDepth], or mn_major [kProductDepth][columns]
  int columns = 0;        // what the instruction is called for
  bool mn_major = false;  // columns: 64, 128, 192 or 256
  bool a_in_registers = false;
  float* out = nullptr;  // [kProductRows][columns], A times B
};

LaunchResult RunWgmmaProduct(const WgmmaProduct& product, cudaStream_t stream);

}  // namespace sluice::kernels::device
