// SPDX-License-Identifier: Apache-2.0
// Registers pass from one warpgroup of a block to another (PTX ISA, "setmaxnreg"): all its threads
// call, kCount is a multiple of 8 from 24 to 256, and the compiler knows the kernel's maximum by
// its launch bounds. Taking waits until enough have been given.
#pragma once

namespace sluice::kernels::device {

// Keeps kCount a thread.
template <int kCount>
__device__ inline void GiveRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Has kCount a thread from here on.
template <int kCount>
__device__ inline void TakeRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

}  // namespace sluice::kernels::device
