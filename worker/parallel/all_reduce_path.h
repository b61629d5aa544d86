// SPDX-License-Identifier: Apache-2.0
// Which way a sum over the ranks of a host takes: over the GPUs' peer memory
// (kernels/collective/peer_all_reduce.h) or through NCCL. A pure function of what all ranks know,
// so that they agree, and of the size alone within a group, so that the same step gives the same
// bits. Needs no CUDA.
#pragma once

#include <cstdint>
#include <optional>

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

// How a sum over ranks goes into the residual stream and is normed.
enum class NormPath {
  kApart,   // a sum, as ChooseAllReducePath says, then a norm on each rank
  kScaled,  // in one kernel on each rank, but for a factor a row (peer_all_reduce_norm.h)
  kByRows,  // in one kernel, each rank a share of the rows (peer_add_rms_norm.h)
};

struct NormedSumShape {
  int world_size = 0;
  int rows = 0;
  int width = 0;
  int num_sms = 0;           // of the rank that has the fewest
  int64_t buffer_bytes = 0;  // of one of a rank's peer buffers
};

// preferred: taken where the shape allows it, else apart.
NormPath ChooseNormPath(AllReduceMode mode, const NormedSumShape& shape,
                        std::optional<NormPath> preferred = std::nullopt);

}  // namespace sluice::worker
