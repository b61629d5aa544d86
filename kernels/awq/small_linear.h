// SPDX-License-Identifier: Apache-2.0
// y = x W^T for up to 16 rows of x, used up to 7 (linear_path.h): decoding, where the time is that
// of reading W once. Every weight is read by one warp, which has two tiles in a ring in shared
// memory or on their way there, widens 4 bits to bf16 (q - zero, exact), multiplies on tensor cores
// with the weights on the side of 16 rows and the tokens on that of 8, and applies a group's scale
// to the fp32 sum of the group.
//
// A block adds up what its warps have of a tile. The result is left as partial sums (SplitPlan);
// the kernel that reads them next adds them up.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/awq/packed_awq.h"
#include "kernels/awq/split_plan.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::awq {

inline constexpr int kMaxSmallRows = 16;

struct SmallLinear {
  PackedAwq weight;
  const __nv_bfloat16* x = nullptr;  // [rows][inputs], aligned to 16 bytes
  int rows = 0;                      // 1 .. kMaxSmallRows
  SplitPlan plan;                    // PlanSmallLinear's
  float* partials = nullptr;         // [plan.slices * plan.max_pieces][rows][outputs]
};

// The plan for a shape and number of rows on a GPU of num_sms multiprocessors.
SplitPlan PlanSmallLinear(int outputs, int inputs, int rows, int num_sms);

LaunchResult RunSmallLinear(const SmallLinear& linear, cudaStream_t stream);

}  // namespace sluice::kernels::awq
