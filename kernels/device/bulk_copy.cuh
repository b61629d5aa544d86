// SPDX-License-Identifier: Apache-2.0
// Copies of runs of bytes from global to shared memory by the copy engine (PTX ISA,
// "cp.async.bulk"). One thread asks for a whole run, and its bytes count at a TransferBarrier.
#pragma once

#include <cstdint>

#include "kernels/device/transfer_barrier.cuh"

namespace sluice::kernels::device {

// Of what is read once, and written by no kernel of a step: it leaves L2 before anything else does.
// Both sides are aligned to 16 bytes, and bytes is a multiple of 16.
__device__ inline void CopyBulkOnce(void* shared, const void* global, int bytes,
                                    TransferBarrier& barrier) {
  asm volatile(
      "{\n.reg .b64 policy;\ncreatepolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1], %2, [%3], policy;\n}" ::"r"(SharedAddress(shared)),
      "l"(global), "r"(bytes), "r"(SharedAddress(&barrier))
      : "memory");
}

}  // namespace sluice::kernels::device
