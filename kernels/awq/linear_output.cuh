// SPDX-License-Identifier: Apache-2.0
// Reads LinearOutput, four neighbouring outputs at a time.
#pragma once

#include "kernels/awq/linear_output.h"
#include "kernels/device/bf16.cuh"

namespace sluice::kernels::awq {

// Outputs column .. column + 3 of a row; column is a multiple of 4.
__device__ inline float4 Load4(const LinearOutput& output, int row, int column) {
  if (output.values != nullptr) {
    return device::Load4Bf16(output.values + int64_t{row} * output.outputs + column);
  }
  if (output.float_values != nullptr) {
    return *reinterpret_cast<const float4*>(output.float_values + int64_t{row} * output.outputs +
                                            column);
  }
  const SplitPlan& plan = output.plan;
  const int pieces = plan.NumPieces(column / plan.tile_outputs);
  const int64_t stride = int64_t{output.rows} * output.outputs;
  const float* first = output.partials + int64_t{row} * output.outputs + column;
  float4 sum = {0.0f, 0.0f, 0.0f, 0.0f};
  constexpr int kAtOnce = 8;  // loads under way before the first of them is added
  const int all = plan.slices * pieces;
  const float* from = first;
  int piece = 0;  // within its slice
  for (int done = 0; done < all; done += kAtOnce) {
    float4 parts[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (done + i >= all) break;
      parts[i] = *reinterpret_cast<const float4*>(from);
      const bool last = ++piece == pieces;
      from += last ? (plan.max_pieces - pieces + 1) * stride : stride;
      if (last) piece = 0;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (done + i >= all) break;
      sum.x += parts[i].x;
      sum.y += parts[i].y;
      sum.z += parts[i].z;
      sum.w += parts[i].w;
    }
  }
  return sum;
}

}  // namespace sluice::kernels::awq
