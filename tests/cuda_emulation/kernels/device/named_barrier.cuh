// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/named_barrier.cuh.
#pragma once

#include "tests/cuda_emulation/block_barriers.h"

namespace sluice::kernels::device {

inline void WaitAtBarrier(int number, int threads,
                          cuda_emulation::Place place = cuda_emulation::Place::current()) {
  cuda_emulation::WaitAtBarrier(number, threads, place);
}
inline void PassBarrier(int number, int threads,
                        cuda_emulation::Place place = cuda_emulation::Place::current()) {
  cuda_emulation::PassBarrier(number, threads, place);
}

}  // namespace sluice::kernels::device
