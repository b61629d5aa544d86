// SPDX-License-Identifier: Apache-2.0
// Counting blocks as they finish, so that the last one goes on with what all have written.
#pragma once

namespace sluice::kernels::device {

// Adds 1 to a counter in global memory and returns what it was. What this thread has written, and
// what it has seen written by its block through a barrier, is there for whoever arrives later, and
// for the block that it meets at a barrier afterwards (PTX ISA, memory consistency model: release
// and acquire at the scope of the GPU are cumulative). Those must read past L1 (__ldcg).
__device__ inline int Arrive(int* counter) {
  int before;
  asm volatile("atom.acq_rel.gpu.global.add.s32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(__cvta_generic_to_global(counter))
               : "memory");
  return before;
}

}  // namespace sluice::kernels::device
