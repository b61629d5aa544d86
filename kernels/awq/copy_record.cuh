// SPDX-License-Identifier: Apache-2.0
// Brings one weight record (packed_awq.h) into shared memory, one warp a record.
#pragma once

#include <cstdint>

#include "kernels/awq/packed_awq.h"
#include "kernels/device/async_copy.cuh"

namespace sluice::kernels::awq {

// Enqueues the copies of this warp's lanes; the caller commits and waits. Both sides are aligned to
// 16 bytes.
__device__ inline void CopyRecord(uint8_t* shared, const uint8_t* global, int lane) {
#pragma unroll
  for (int i = 0; i < kTileBytes / 16 / 32; ++i) {
    device::CopyAsync16(shared + 16 * (32 * i + lane), global + 16 * (32 * i + lane));
  }
  constexpr int kRest = kTileBytes / 16 % 32;
  constexpr int kDone = kTileBytes / 16 - kRest;
  if (lane < kRest) device::CopyAsync16(shared + 16 * (kDone + lane), global + 16 * (kDone + lane));
}

}  // namespace sluice::kernels::awq
