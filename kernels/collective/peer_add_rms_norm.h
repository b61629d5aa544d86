// SPDX-License-Identifier: Apache-2.0
// A sum over peers that goes into the residual stream, with its norm, for many rows: every rank has
// a share of the rows, sums, adds and norms those, and sends all ranks what the next linear reads.
// Beside a two-shot sum and a norm on every rank, the second crossing is of bf16 in place of fp32,
// nobody norms what another one does, and there is one pass over memory instead of three.
//
// A rank's residual then holds the sum in its own rows alone: whatever adds to it in the same step
// has as many rows of the same width, and goes this way too, with buffers of the same size.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/collective/peer_all_reduce.h"
#include "kernels/host/launch_result.h"
#include "kernels/norm/add_rms_norm.h"

namespace sluice::kernels::collective {

struct PeerAddRmsNorm {
  PeerGroup group;
  // delta is this rank's part, and given; width a multiple of 8, at most 10,240; residual and out
  // aligned to 16 bytes, weight to 8. The sum is in the order of the ranks, out the same bits on
  // all of them.
  norm::AddRmsNorm norm;
  int num_sms = 0;  // of this device; at most so many blocks, which all run at once
};

// Whether rows of this width are for this kernel, and buffers of so many vectors hold one of each
// rank's at a time.
bool TakesPeerAddRmsNorm(int world_size, int width, int64_t vectors);

// As RunPeerAllReduce; in turns, one kernel each, where the buffers do not hold all rows. All ranks
// run this one. REQUIRES: TakesPeerAddRmsNorm.
LaunchResult RunPeerAddRmsNorm(const PeerAddRmsNorm& operation, cudaStream_t stream);

}  // namespace sluice::kernels::collective
