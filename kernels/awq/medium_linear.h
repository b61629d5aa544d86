// SPDX-License-Identifier: Apache-2.0
// y = x W^T for up to 2,048 rows of x, used from 8 on: batched decoding, where reading W and
// multiplying take about as long as each other, and prefill beside it. A block computes 256 outputs
// of up to 128 rows over a run of groups with wgmma. Weights are read from memory once, widened as
// small_linear does ((q - zero), exact) and multiplied with all of a block's tokens; weights and
// activations come through one ring in shared memory.
//
// The result is left as partial sums (SplitPlan); the kernel that reads them next adds them up.
// Gate and up, whose outputs take turns, are gated here where the plan splits no tile: then whoever
// has a gate has all of it, and its up, and what takes 16 bytes as pieces of two gates and ups
// takes 4.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <optional>

#include "kernels/awq/packed_awq.h"
#include "kernels/awq/split_plan.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::awq {

inline constexpr int kMaxMediumRows = 2048;

struct MediumLinear {
  PackedAwq weight;
  const __nv_bfloat16* x = nullptr;  // [rows][inputs], aligned to 16 bytes
  int rows = 0;                      // 1 .. kMaxMediumRows
  SplitPlan plan;                    // PlanMediumLinear's or PlanGatedLinear's
  // Exactly one of the two is written.
  float* partials = nullptr;       // [plan.slices * plan.max_pieces][rows][outputs]
  __nv_bfloat16* gated = nullptr;  // [rows][outputs / 2], as SiluMul's; the plan splits no tile
};

// The plan for a shape and number of rows on a GPU of num_sms multiprocessors.
SplitPlan PlanMediumLinear(int outputs, int inputs, int rows, int num_sms);

// For `gated`: a plan that splits no tile, or nothing where splitting them and SiluMul take less
// time.
std::optional<SplitPlan> PlanGatedLinear(int outputs, int inputs, int rows, int num_sms);

LaunchResult RunMediumLinear(const MediumLinear& linear, cudaStream_t stream);

}  // namespace sluice::kernels::awq
