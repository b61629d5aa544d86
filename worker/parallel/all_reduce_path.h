// SPDX-License-Identifier: Apache-2.0
// Which way a sum over the ranks of a host takes: over the GPUs' peer memory
// (kernels/collective/peer_all_reduce.h) or through NCCL. A pure function of what all ranks know,
// so that they agree, and of the size alone within a group, so that the same step gives the same
// bits. Needs no CUDA.
#pragma once

#include <cstdint>

namespace sluice::worker {

// --all-reduce
enum class AllReduceMode {
  kAuto,  // peer memory where it is faster and GPUs reach each other, else NCCL
  kNccl,
  kPeer,  // peer memory for all that comes in fours; without it the group does not start
};

// As --all-reduce spells it.
inline const char* AllReduceModeName(AllReduceMode mode) {
  switch (mode) {
    case AllReduceMode::kNccl:
      return "nccl";
    case AllReduceMode::kPeer:
      return "peer";
    case AllReduceMode::kAuto:
      break;
  }
  return "auto";
}

enum class AllReducePath { kNccl, kOneShot, kTwoShot };

// count: of floats. buffer_bytes: of one of a rank's peer buffers.
AllReducePath ChooseAllReducePath(AllReduceMode mode, int world_size, int64_t count,
                                  int64_t buffer_bytes);

// Whether a sum that is added to the residual and normed goes over peer memory by rows, in one
// kernel (kernels/collective/peer_add_rms_norm.h), whatever ChooseAllReducePath says of the sum.
bool ChooseNormByRows(AllReduceMode mode, int world_size, int rows, int width,
                      int64_t buffer_bytes);

}  // namespace sluice::worker
