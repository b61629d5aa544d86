// SPDX-License-Identifier: Apache-2.0
// Where a thread is in a ring of stages with TransferBarriers: the stage, and the parity of the
// phase of its barriers that this time around is about. Readers wait with it until a stage is full.
// Who fills stages waits until one is free with parity ^ 1, which holds at once the first time
// around, or with parity if it keeps a place only from the second time on.
#pragma once

namespace sluice::kernels::device {

template <int kStages>
struct RingPlace {
  int stage = 0, parity = 0;

  __device__ void Next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

}  // namespace sluice::kernels::device
