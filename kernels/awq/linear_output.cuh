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
  for (int slice = 0; slice < plan.slices; ++slice) {
    for (int piece = 0; piece < pieces; ++piece) {
      const float4 part =
          *reinterpret_cast<const float4*>(first + (slice * plan.max_pieces + piece) * stride);
      sum.x += part.x;
      sum.y += part.y;
      sum.z += part.z;
      sum.w += part.w;
    }
  }
  return sum;
}

}  // namespace sluice::kernels::awq
