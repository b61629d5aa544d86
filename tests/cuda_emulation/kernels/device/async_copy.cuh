// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/async_copy.cuh.
#pragma once

#include <cstdint>

#include "tests/cuda_emulation/simt.h"

namespace sluice::kernels::device {

inline uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

inline void CopyAsync16(void* shared, const void* global,
                        cuda_emulation::Place place = cuda_emulation::Place::current()) {
  cuda_emulation::CopyAsync16(shared, global, true, place);
}

inline void CopyAsync16OrZero(void* shared, const void* global, bool use,
                              cuda_emulation::Place place = cuda_emulation::Place::current()) {
  cuda_emulation::CopyAsync16(shared, global, use, place);
}

inline void CommitCopies() { cuda_emulation::CommitCopies(); }

template <int kPending>
void WaitCopies() {
  cuda_emulation::WaitCopies(kPending);
}

}  // namespace sluice::kernels::device
