// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/peer_memory.cuh. Peers are other streams' grids, which run
// while this one waits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tests/cuda_emulation/simt.h"

namespace sluice::kernels::device {

inline void StoreToPeer(uint4* at, uint4 value) { *at = value; }
inline uint4 LoadFromPeers(const uint4* at) { return *at; }
inline int LoadFromHost(const int* at) { return *static_cast<const volatile int*>(at); }
inline constexpr uint32_t kWaitTurnsPerLook = 64;
inline void WaitTurn() { cuda_emulation::WaitTurn(); }

}  // namespace sluice::kernels::device
