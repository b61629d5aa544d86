// SPDX-License-Identifier: Apache-2.0
// LinearOutput: what a linear has left in device memory for the kernel that reads it next: finished
// values (bf16, or fp32 after an all-reduce), or the partial sums of a SplitPlan, which the reader
// adds up in order.
#pragma once

#include <cuda_bf16.h>

#include "kernels/awq/split_plan.h"

namespace sluice::kernels::awq {

struct LinearOutput {
  // Exactly one of the three is given.
  const __nv_bfloat16* values = nullptr;  // [rows][outputs]
  const float* float_values = nullptr;    // [rows][outputs]
  const float* partials = nullptr;        // [slices * max_pieces][rows][outputs]
  SplitPlan plan;
  int rows = 0;
  int outputs = 0;
};

}  // namespace sluice::kernels::awq
