// SPDX-License-Identifier: Apache-2.0
// A sum over peers that goes into the residual stream, with the norm that the next linear reads, in
// one kernel. The sum is peer_all_reduce.h's, sent all to all: a rank may run this one while
// another runs that. A block sees only a part of a row and waits for no other, so it leaves out the
// factor that RMSNorm gives the row, and leaves its sum of squares for those who apply it to the
// linear's output (awq::RowScale).
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/awq/linear_output.h"
#include "kernels/collective/peer_all_reduce.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::collective {

struct ScaledNorm {
  float* residual = nullptr;              // [rows][width], aligned to 16 bytes; the sum is added
  const __nv_bfloat16* weight = nullptr;  // [width], aligned to 8 bytes
  float eps = 0.0f;
  __nv_bfloat16* out = nullptr;  // [rows][width], aligned to 8 bytes: weight * residual
  float* squares = nullptr;      // RowScale's: [rows][awq::kRowParts]
};

struct PeerAllReduceNorm {
  PeerGroup group;
  awq::LinearOutput part;  // this rank's; as wide as the residual, a multiple of 4
  ScaledNorm norm;
  int num_sms = 0;  // of this device; at most so many blocks, which all run at once
};

// Whether the blocks of so many rows all run at once, and their scales are worth it.
bool TakesPeerAllReduceNorm(int rows, int num_sms);

// As RunPeerAllReduce, among whose operations these may be. REQUIRES: TakesPeerAllReduceNorm.
LaunchResult RunPeerAllReduceNorm(const PeerAllReduceNorm& operation, cudaStream_t stream);

// What the output of a linear that reads norm.out still needs.
inline awq::RowScale ScaleAfter(const ScaledNorm& norm, int width) {
  return {.squares = norm.squares, .width = width, .eps = norm.eps};
}

}  // namespace sluice::kernels::collective
