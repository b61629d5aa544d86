// SPDX-License-Identifier: Apache-2.0
// LinearOutput: what a linear has left in device memory for the kernel that reads it next: finished
// values (bf16, or fp32 after an all-reduce), or the partial sums of a SplitPlan, which the reader
// adds up in order.
//
// RowScale: a linear whose input is a norm may get it without the factor that RMSNorm gives a row,
// since linear(f x) = f linear(x): whoever reads the output multiplies. So a kernel whose blocks
// each see a part of a row can write the input without waiting for the rest of it.
#pragma once

#include <cuda_bf16.h>

#include "kernels/awq/split_plan.h"

namespace sluice::kernels::awq {

// Parts of a row, each with its own sum of squares, which are added in order.
inline constexpr int kRowParts = 16;

// Rows that have a scale at most. Beyond them a norm's own time counts little in a step, and
// linears gate their outputs themselves, for which an input must be whole.
inline constexpr int kMaxScaledRows = 128;

struct RowScale {
  // [rows][kRowParts], aligned to 16 bytes, zero for parts that a row does not have. Null: outputs
  // are what they are. Written by a kernel of the step: not to be read before
  // device::WaitForPrevious.
  const float* squares = nullptr;
  int width = 0;  // of a row. The factor is 1 / sqrt(sum of squares / width + eps)
  float eps = 0.0f;
};

struct LinearOutput {
  // Exactly one of the three is given.
  const __nv_bfloat16* values = nullptr;  // [rows][outputs]
  const float* float_values = nullptr;    // [rows][outputs]
  const float* partials = nullptr;        // [slices * max_pieces][rows][outputs]
  SplitPlan plan;
  int rows = 0;
  int outputs = 0;
  RowScale row_scale;  // applied by OutputColumns
};

// Of values that are finished, [rows][outputs], and have no row scale.
inline LinearOutput WholeOutput(const float* values, int rows, int outputs) {
  LinearOutput output;
  output.float_values = values;
  output.rows = rows;
  output.outputs = outputs;
  return output;
}

}  // namespace sluice::kernels::awq
