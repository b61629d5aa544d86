// SPDX-License-Identifier: Apache-2.0
// From the AutoAWQ "gemm" layout of a checkpoint to PackedAwq.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "kernels/awq/packed_awq.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::awq {

// One linear as stored, all of it, in device memory:
//   qweight  i32 [inputs][outputs / 8]       4-bit values of outputs 8j + (0 2 4 6 1 3 5 7), lowest
//   qzeros   i32 [inputs / 128][outputs / 8]  bits first
//   scales   bf16 or f16 [inputs / 128][outputs]
struct AutoAwqTensors {
  const int32_t* qweight = nullptr;
  const int32_t* qzeros = nullptr;
  const uint16_t* scales = nullptr;
  int inputs = 0;
  int outputs = 0;
  ScaleType scale_type = ScaleType::kBf16;
};

// The part of a linear that a rank holds.
struct ShardRange {
  int first_input = 0;  // a multiple of 128
  int num_inputs = 0;
  int first_output = 0;  // a multiple of 8
  int num_outputs = 0;   // a multiple of 32
};

inline constexpr int kMaxInterleaved = 2;

// Writes the shard's records into packed, whose inputs are the shard's, from the output
// first_packed_output on (a multiple of 32): linears side by side are packed one after the other.
// All of them have packed's type of scales.
//
// linears: one, or up to kMaxInterleaved of one shape, with the same shard of each, whose outputs
// take turns: the first output of the first, of the second, the second of the first. Linears that
// share records are written at once, as they share words, too.
LaunchResult Repack(std::span<const AutoAwqTensors> linears, const ShardRange& range,
                    const PackedAwq& packed, int first_packed_output, cudaStream_t stream);

}  // namespace sluice::kernels::awq
