// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/transfer_barrier.cuh.
#pragma once

#include <cstdint>

#include "kernels/device/async_copy.cuh"
#include "tests/cuda_emulation/block_barriers.h"

namespace sluice::kernels::device {

struct TransferBarrier {
  uint64_t state;

  using Place = cuda_emulation::Place;
  void SetUp(int arrivals, Place place = Place::current()) {
    cuda_emulation::SetUpTransfer(&state, arrivals, place);
  }
  void Arrive(Place place = Place::current()) {
    cuda_emulation::ArriveAtTransfer(&state, 0, place);
  }
  void ArriveAndExpect(int bytes, Place place = Place::current()) {
    cuda_emulation::ArriveAtTransfer(&state, bytes, place);
  }
  void Wait(int parity, Place place = Place::current()) {
    cuda_emulation::WaitForTransfer(&state, parity, place);
  }
};

inline void PublishBarriers() {}

}  // namespace sluice::kernels::device
