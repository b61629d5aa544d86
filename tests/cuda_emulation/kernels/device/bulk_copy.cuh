// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/bulk_copy.cuh.
#pragma once

#include "kernels/device/transfer_barrier.cuh"

namespace sluice::kernels::device {

inline void CopyBulkOnce(void* shared, const void* global, int bytes, TransferBarrier& barrier,
                         cuda_emulation::Place place = cuda_emulation::Place::current()) {
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0 || bytes % 16 != 0) {
    cuda_emulation::Fail("a bulk copy that is not of whole 16 bytes", place);
  }
  for (int at = 0; at < bytes; at += 16) {
    cuda_emulation::CheckConstantAccess(static_cast<const uint8_t*>(global) + at, 16);
  }
  cuda_emulation::BulkCopy copy;
  copy.global = static_cast<const uint8_t*>(global);
  copy.run_bytes = bytes;
  copy.shared = static_cast<uint8_t*>(shared);
  copy.barrier = &barrier.state;
  cuda_emulation::StartBulkCopy(copy, place);
}

}  // namespace sluice::kernels::device
