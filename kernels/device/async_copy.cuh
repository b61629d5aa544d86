// SPDX-License-Identifier: Apache-2.0
// Copies from global to shared memory that run behind the computation (cp.async, PTX ISA 9.7.9.25).
#pragma once

#include <cstdint>

namespace sluice::kernels::device {

__device__ inline uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 bytes, both sides aligned to 16; past L1, since the data is read once.
__device__ inline void CopyAsync16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)), "l"(global)
               : "memory");
}

// Writes 16 zero bytes instead when `use` is false; global is not read then.
__device__ inline void CopyAsync16OrZero(void* shared, const void* global, bool use) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)),
               "l"(global), "r"(use ? 16 : 0)
               : "memory");
}

// Ends a group: the copies this thread has issued since the last group.
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until at most `kPending` of this thread's groups are under way.
template <int kPending>
__device__ inline void WaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace sluice::kernels::device
